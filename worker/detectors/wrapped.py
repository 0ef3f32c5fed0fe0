"""Wrapped networks: any timm network or open_clip image tower with a head of one or two logits, as a detector.

Published detectors come in this way (`published_networks` of `training.export` opens them). Everything needed to build
the network again is in its architecture as plain values: nothing is fetched, and names that would make a library
fetch something are refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import timm
import torch
from open_clip.model import CLIPVisionCfg, _build_vision_tower  # the factory's own way to make a tower without text
from torch import Tensor, nn
from torch.nn.functional import normalize

from worker.detectors.detector import OneNetwork
from worker.detectors.pixels import PIXEL_MEAN, PIXEL_SPREAD
from worker.images.views import ViewPlan

if TYPE_CHECKING:
    from collections.abc import Mapping


# These would make a library read files or ask a hub.
_FETCHING = {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir", "num_classes"}
_LOGITS = (1, 2)


@dataclass(frozen=True)
class WrappedArchitecture:
    """A network by its library's plain values, and what stands between our pixels and its logit.

    Attributes:
        library: `timm` or `open_clip`.
        model: timm's name of the architecture, without a tag; empty for open_clip.
        arguments: timm's keyword arguments, or open_clip's `embed_dim`, `vision_cfg` and `quick_gelu`.
        mean, std: of the pixels it was trained with, on a scale of 0 to 1.
        logits: 1, or 2 whose difference counts.
        own_head: the network gives the logits itself; otherwise a linear layer on its features does.
        normalised: features are brought to length 1 before that layer.
        sign: 1 where a higher logit (or the second of two) means AI-generated, -1 where it means the opposite.
    """

    library: Literal["timm", "open_clip"]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    model: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    logits: int = 1
    own_head: bool = False
    normalised: bool = False
    sign: int = 1

    def __post_init__(self) -> None:
        """Refuse what cannot be built from plain values alone."""
        if self.library == "timm" and not timm.is_model(self.model):
            raise ValueError(f"timm knows no architecture {self.model!r}")
        self._check_fetches_nothing()
        if self.logits not in _LOGITS or self.sign not in {1, -1} or not len(self.mean) == len(self.std) == 3:  # noqa: PLR2004
            raise ValueError(f"impossible head or pixels: {self}")

    def _check_fetches_nothing(self) -> None:
        fetching = _FETCHING & set(self.arguments)
        tower = self.arguments.get("vision_cfg", {}).get("timm_model_name") or ""
        if fetching or (tower and not timm.is_model(tower)):
            raise ValueError(f"an architecture must not fetch anything: {sorted(fetching) or tower}")

    def build(self) -> nn.Module:
        """Make the network, weights not yet loaded and nothing fetched: (N, 3, H, W) → (N, F), or (N, logits)."""
        if self.library == "timm":
            outputs = self.logits if self.own_head else 0
            arguments: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in self.arguments.items()}
            made: nn.Module = timm.create_model(self.model, pretrained=False, num_classes=outputs, **arguments)
            return made
        config = {**self.arguments["vision_cfg"], "timm_model_pretrained": False, "output_tokens": False}
        tower: nn.Module = _build_vision_tower(
            int(self.arguments["embed_dim"]), CLIPVisionCfg(**config), bool(self.arguments.get("quick_gelu", False))
        )
        return tower


class WrappedNetwork(nn.Module):
    """Network and head: (N, 3, H, W) of our pixels → (N,) logits."""

    def __init__(self, architecture: WrappedArchitecture, size: int) -> None:
        """Build both; one pass on zeros tells how wide the head must be."""
        super().__init__()
        self.architecture = architecture
        self.body = architecture.build()
        # Ours are (x - PIXEL_MEAN) / PIXEL_SPREAD; what comes out is (x - mean) / std.
        mean, std = torch.tensor(architecture.mean), torch.tensor(architecture.std)
        self.register_buffer("scale", (PIXEL_SPREAD / std).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("offset", ((PIXEL_MEAN - mean) / std).view(1, 3, 1, 1), persistent=False)
        self.scale: Tensor
        self.offset: Tensor
        self.head: nn.Module = nn.Identity()
        if not architecture.own_head:
            self.body.eval()
            with torch.no_grad():
                width = self.features(torch.zeros(1, 3, size, size)).shape[1]
            self.head = nn.Linear(width, architecture.logits)

    def features(self, pixels: Tensor) -> Tensor:
        """Give what the head reads: (N, 3, H, W) → (N, F)."""
        features: Tensor = self.body(pixels * self.scale + self.offset)
        return normalize(features, dim=1) if self.architecture.normalised else features

    def forward(self, pixels: Tensor) -> Tensor:
        """Judge (N, 3, H, W) normalised pixels: (N,) logits."""
        logits: Tensor = self.head(self.features(pixels))  # (N, logits)
        one = logits[:, 0] if self.architecture.logits == 1 else logits[:, 1] - logits[:, 0]
        return self.architecture.sign * one


class WrappedDetector(OneNetwork):
    """Views → logit, by a network that was trained elsewhere."""

    def __init__(self, name: str, architecture: WrappedArchitecture, plan: ViewPlan) -> None:
        """Build the network with random weights; weights are loaded by whoever has them."""
        self.name = name
        self.plan = plan
        self.network: nn.Module = WrappedNetwork(architecture, plan.size)

    def heatmap_layer(self) -> nn.Module:
        """Name a layer that every patch's or pixel's way to the logit leads through.

        Transformers: the first norm of the last block, for after it a pooled token alone may count. Networks that
        tell timm their stages: the last of these. Everything else: the last convolution.
        """
        body = self.network.get_submodule("body")
        trunk = getattr(body, "trunk", body)
        for blocks, norm in (("blocks", "norm1"), ("transformer.resblocks", "ln_1")):
            block = _last(trunk, blocks)
            if block is not None and hasattr(block, norm):
                return block.get_submodule(norm)
        stages = getattr(trunk, "feature_info", None)
        # Some keep (N, H, W, C), which no map could be made of.
        if stages and getattr(trunk, "output_fmt", "NCHW") == "NCHW":
            return trunk.get_submodule(stages[-1]["module"])
        return [module for module in trunk.modules() if isinstance(module, nn.Conv2d)][-1]


def _last(trunk: nn.Module, name: str) -> nn.Module | None:
    try:
        blocks = list(trunk.get_submodule(name).children())
    except AttributeError:
        return None
    return blocks[-1] if blocks else None
