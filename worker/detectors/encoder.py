"""Encoder detector: a pretrained timm network, and a linear head on what its stages tell of a view.

Of chosen layers the mean and spread over positions are taken, or the class token. These numbers are standardised and
projected to at most 1,024; the projection is what scans store, and a logit is a linear function of it. The network is
frozen and named by the hash of its tensors, or adapted, wholly or in part: weights that come with the bundle count
before those of the named encoder.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import timm
import torch
from timm.layers.pos_embed import resample_abs_pos_embed
from timm.models import get_pretrained_cfg
from torch import Tensor, nn
from torch.nn.functional import interpolate

from worker.detectors.detector import OneNetwork
from worker.detectors.pixels import PIXEL_MEAN, PIXEL_SPREAD
from worker.images.views import ViewPlan, coverage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_FEATURES = 1024  # stored in half precision: 2 KB an image
BODY = "body.net."  # before timm's names, among those of a detector's tensors
CENTRE = "centre"  # among those names, too; as long as the layers give numbers
_POSITIONS = f"{BODY}pos_embed"
_POOLS = ("mean", "std", "class")
# These would make timm read files or ask a hub, or give the network a head that nobody reads.
_REFUSED = {
    "pretrained",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
    "checkpoint_path",
    "cache_dir",
    "num_classes",
    "features_only",
    "scriptable",
    "img_size",
}
_LARGEST = 4  # times; beyond, a view of 224 pixels takes seconds
_TOKENS = 3  # axes of (N, L, C)
_SMALLEST_SPREAD = 1e-6


@dataclass(frozen=True)
class EncoderArchitecture:
    """An encoder by timm's plain values, and what is read of it.

    Attributes:
        model: timm's name of the architecture, without a tag.
        mean, std: of the pixels it was trained with, on a scale of 0 to 1.
        taps: layers and how each is pooled, such as `blocks.3:mean`, `blocks.3:std` or `norm:class`, in the order of
            the features.
        features: K, numbers that an image's features are projected to.
        encoder: SHA-256 of the tensors of the encoder that the weights come from, or empty where all are the bundle's.
        enlarge: what views are enlarged by before the network sees them: its first layers halve them, and traces of
            generators lie in single pixels.
        arguments: timm's keyword arguments.
        gain: how much more several views say than one: their mean is multiplied by n to this power, n the area that
            crops cover, in crops. 0 keeps the mean, 1 is the sum of independent views.
    """

    model: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    taps: tuple[str, ...]
    features: int
    encoder: str = ""
    enlarge: int = 1
    arguments: Mapping[str, Any] = field(default_factory=dict)
    gain: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot be built from plain values alone."""
        if not timm.is_model(self.model) or _REFUSED & set(self.arguments):
            raise ValueError(f"no encoder: {self.model!r} with {sorted(self.arguments)}")
        if not 1 <= self.features <= MOST_FEATURES:
            raise ValueError(f"features = {self.features}: from 1 to {MOST_FEATURES}")
        if not self.taps or any(tap.rpartition(":")[2] not in _POOLS for tap in self.taps):
            raise ValueError(f"taps are LAYER:mean, LAYER:std or LAYER:class, not {self.taps}")
        if not 1 <= self.enlarge <= _LARGEST:
            raise ValueError(f"enlarge = {self.enlarge}: from 1 to {_LARGEST}")
        if not 0.0 <= self.gain <= 1.0:
            raise ValueError(f"gain = {self.gain}: from 0 to 1")
        if not len(self.mean) == len(self.std) == 3:  # noqa: PLR2004 (red, green, blue)
            raise ValueError("mean and std are of red, green and blue")

    def build(self, size: int) -> nn.Module:
        """Make the network for views of that size, weights not yet loaded and nothing fetched."""
        arguments: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in self.arguments.items()}
        if is_of_one_size(self.model):
            arguments["img_size"] = size * self.enlarge
        made: nn.Module = timm.create_model(self.model, pretrained=False, num_classes=0, **arguments)
        return made


def is_of_one_size(model: str) -> bool:
    """Tell whether a timm network learns something for each place, so that its size must be known when it is made."""
    config = get_pretrained_cfg(model, allow_unregistered=True)
    return config is not None and bool(config.fixed_input_size)


class Taps(nn.Module):
    """The network up to its pooled layers: (N, 3, H, W) of our pixels → (N, F) float32.

    This is the part that an engine runs: everything after it is a few linear functions.
    """

    def __init__(self, architecture: EncoderArchitecture, size: int) -> None:
        """Build the network."""
        super().__init__()
        self.net = architecture.build(size).to(memory_format=torch.channels_last)
        self.taps = tuple((layer, pool) for layer, _, pool in (tap.rpartition(":") for tap in architecture.taps))
        self.layers = tuple(dict.fromkeys(layer for layer, _ in self.taps))
        self.prefix = int(getattr(self.net, "num_prefix_tokens", 0))
        # Ours are (x - PIXEL_MEAN) / PIXEL_SPREAD; what comes out is (x - mean) / std.
        mean, std = torch.tensor(architecture.mean), torch.tensor(architecture.std)
        self.register_buffer("scale", (PIXEL_SPREAD / std).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("offset", ((PIXEL_MEAN - mean) / std).view(1, 3, 1, 1), persistent=False)
        self.enlarge = architecture.enlarge
        self.scale: Tensor
        self.offset: Tensor

    def forward(self, pixels: Tensor) -> Tensor:
        """Run the network and pool what its layers give."""
        held: dict[str, Tensor] = {}
        hooks = [self.net.get_submodule(layer).register_forward_hook(_keep(held, layer)) for layer in self.layers]
        try:
            shown = pixels * self.scale + self.offset
            if self.enlarge > 1:
                shown = interpolate(shown, scale_factor=float(self.enlarge), mode="bicubic", align_corners=False)
            # Channels last: convolutions of one channel each take half of their time so, forth and back.
            self.net.forward_features(shown.contiguous(memory_format=torch.channels_last))  # type: ignore[operator]
        finally:
            for hook in hooks:
                hook.remove()
        return torch.cat([self._pooled(held[layer], pool) for layer, pool in self.taps], dim=1)

    def _pooled(self, tokens: Tensor, pool: str) -> Tensor:
        """Pool (N, C, h, w), or (N, P + L, C) with P prefix tokens: (N, C)."""
        tokens = tokens.float()
        if tokens.ndim == _TOKENS:
            if pool == "class":
                return tokens[:, 0]
            tokens = tokens[:, self.prefix :].transpose(1, 2)  # (N, C, L)
        positions = tokens.flatten(2)  # (N, C, L)
        mean = positions.mean(dim=2)
        if pool != "std":
            return mean
        return (positions - mean.unsqueeze(2)).square().mean(dim=2).clamp(min=_SMALLEST_SPREAD**2).sqrt()


def _keep(held: dict[str, Tensor], layer: str) -> Any:
    def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        held[layer] = output

    return hook


class EncoderNetwork(nn.Module):
    """Network, standardisation, projection and head: (N, 3, H, W) of our pixels → (N,) logits."""

    centre: Tensor
    spread: Tensor

    def __init__(self, architecture: EncoderArchitecture, size: int, width: int = 0) -> None:
        """Build all.

        Args:
            architecture: of the encoder.
            size: side of a view in pixels.
            width: F, numbers that the layers give; 0 where one pass on zeros is to tell.
        """
        super().__init__()
        self.body = Taps(architecture, size)
        self.body.eval()
        if not width:
            with torch.no_grad():
                width = self.body(torch.zeros(1, 3, size, size)).shape[1]
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))
        self.projection = nn.Linear(width, architecture.features)
        self.head = nn.Linear(architecture.features, 1)

    def project(self, pooled: Tensor) -> Tensor:
        """Standardise what the layers gave and project it: (N, F) → (N, K) float32."""
        projected: Tensor = self.projection((pooled - self.centre) / self.spread.clamp(min=_SMALLEST_SPREAD))
        return projected

    def forward(self, pixels: Tensor) -> Tensor:
        """Judge (N, 3, H, W) normalised pixels: (N,) logits."""
        logits: Tensor = self.head(self.project(self.body(pixels)))
        return logits.squeeze(-1)


class EncoderDetector(OneNetwork):
    """Native crops and the whole → logit, through features that can be stored."""

    def __init__(self, name: str, architecture: EncoderArchitecture, plan: ViewPlan, width: int = 0) -> None:
        """Build the network with random weights; weights are loaded by whoever has them, and tell the width."""
        self.name = name
        self.plan = plan
        self.architecture = architecture
        self.network: nn.Module = EncoderNetwork(architecture, plan.size, width)

    def whole_state(self, own: Mapping[str, Tensor], encoder: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Join a bundle's tensors and its encoder's, as float32; where both have one, the bundle's counts.

        Positions that were learnt for another size of view are resampled to this one's.

        Args:
            own: by the network's names.
            encoder: by timm's names.
        """
        body = {f"{BODY}{name}": value for name, value in encoder.items()}
        state = {name: value.float() for name, value in {**body, **own}.items()}
        if (learnt := state.get(_POSITIONS)) is not None:
            shape = self.network.get_parameter(_POSITIONS).shape  # (1, P + side², C)
            prefix = self._network.body.prefix
            side = math.isqrt(shape[1] - prefix)
            if learnt.shape != shape:
                state[_POSITIONS] = resample_abs_pos_embed(learnt, [side, side], num_prefix_tokens=prefix)
        return state

    def features(self, pixels: Tensor) -> Tensor:
        """Run the encoder and pool its layers: (N, 3, H, W) float32 normalised → (N, F)."""
        features: Tensor = self._network.body(pixels)
        return features

    def judge(self, features: Tensor) -> Tensor:
        """Judge what the layers gave: (N, F) → (N,) logits."""
        return self.judge_features(self._network.project(features))

    def logits(self, views: Tensor, sizes: Sequence[tuple[int, int]] = ()) -> Tensor:
        """Judge a batch: (B, V, 3, H, W) uint8 → (B,) float32; device thread only."""
        return self.see(views, sizes)[0]

    def see(self, views: Tensor, sizes: Sequence[tuple[int, int]] = ()) -> tuple[Tensor, Tensor]:
        """Judge a batch: (B, V, 3, H, W) uint8 → (B,) logits and (B, K) features, float32; device thread only.

        Features are the mean over views, times the gain of so many; a logit is a linear function of them, whatever
        head is fitted on them later.
        """
        features = self._network.project(self.run(views)).view(*views.shape[:2], -1).mean(dim=1)  # (B, K)
        if sizes:
            gains = [coverage(size, self.plan) ** self.architecture.gain for size in sizes]
            features = features * torch.tensor(gains, dtype=features.dtype, device=features.device)[:, None]
        return self.judge_features(features), features

    def judge_features(self, features: Tensor) -> Tensor:
        """Judge what `see` gave, perhaps with another head: (B, K) → (B,) float32."""
        head = self._network.head
        logits: Tensor = head(features.to(head.weight.device).float())
        return logits.squeeze(-1)

    def heatmap_layer(self) -> nn.Module:
        """Name the first layer that is pooled: every other's way to the logit leads through it.

        Of a transformer's block it is the first norm: after the block a class token alone may count.
        """
        body = self._network.body
        layer = body.net.get_submodule(body.layers[0])
        return layer.get_submodule("norm1") if hasattr(layer, "norm1") else layer

    @property
    def _network(self) -> EncoderNetwork:
        assert isinstance(self.network, EncoderNetwork)  # noqa: S101 (what the constructor made)
        return self.network
