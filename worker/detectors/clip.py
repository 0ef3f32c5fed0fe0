"""CLIP detector: an open_clip image tower and a head on its pooled and intermediate features.

The tower is either a small VisionTransformer made from a recipe, or any model open_clip knows by name (the
production recipe names `PE-Core-L-14-336`). Both give their intermediate tokens through open_clip's
`forward_intermediates`, so the head is one and the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import open_clip
import torch
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn.functional import layer_norm, linear

from worker.detectors.detector import OneNetwork
from worker.detectors.stem import late_strides, overlapping_stem, with_residual
from worker.images.views import ViewPlan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class ClipArchitecture:
    """The tower, by open_clip name or by keyword arguments, and the blocks whose tokens the head reads.

    Attributes:
        model: an open_clip model name, or None.
        tower: keyword arguments of open_clip's VisionTransformer where there is no name.
        taps: indices of transformer blocks whose mean patch token joins the pooled feature.
        frozen: keep the tower as it came and train the head alone.
        input_scale: pixels arrive with a spread of 0.25 taken as 1; a tower pretrained with another one (PE-Core: 0.5)
            gets them multiplied by this (0.5).
        stem: widths of overlapping 3x3 convolutions before the one that gives the tower its tokens, in place of a patch
            embedding; the last of them halve the picture until a token covers `patch_size` pixels. A tower that starts
            from nothing learns far sooner with one (arXiv:2106.14881). Not for named models, nor is the next.
        stem_strides: one for each of them and one for the convolution that gives tokens; together they make
            `patch_size`.
        stem_activation: between them, `gelu` or the cheaper `relu`.
        residual: gain of three high-pass channels beside the pixels, as for the ConvNeXt detector; needs a stem.
    """

    model: str | None = None
    tower: Mapping[str, Any] | None = None
    taps: tuple[int, ...] = ()
    frozen: bool = False
    input_scale: float = 1.0
    stem: tuple[int, ...] = ()
    stem_strides: tuple[int, ...] = ()
    stem_activation: str = "gelu"
    residual: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what would be left out in silence, or fail far from here."""
        if self.model is not None and (self.stem or self.tower):
            raise ValueError(f"{self.model} brings its own tower: leave out either the model or the tower and its stem")
        if self.residual and not self.stem:
            raise ValueError("high-pass channels need a stem")
        if self.stem_strides and not self.stem:
            raise ValueError("stem_strides need a stem")

    def build_tower(self) -> nn.Module:
        """Make the image tower, weights not yet loaded and nothing downloaded."""
        if self.model is None:
            made = dict(self.tower or {})
            small: nn.Module = VisionTransformer(**made)
            if self.stem:
                widths, halvings = (*self.stem, made["width"]), int(math.log2(made["patch_size"]))
                strides = self.stem_strides or late_strides(len(widths), halvings)
                if math.prod(strides) != made["patch_size"] or halvings > len(widths):
                    raise ValueError(f"{len(widths)} convolutions cannot halve down to patches of {made['patch_size']}")
                stem = overlapping_stem(6 if self.residual else 3, widths, strides, self.stem_activation)
                small.conv1 = stem.to(memory_format=torch.channels_last)
            return small
        both: nn.Module = open_clip.create_model(self.model, pretrained=None, load_weights=False)
        return both.get_submodule("visual")


class ClipNetwork(nn.Module):
    """Tower and head: (N, 3, H, W) → (N,) logits."""

    def __init__(self, architecture: ClipArchitecture, size: int) -> None:
        """Build tower and head; one tower pass on zeros tells how wide the head must be."""
        super().__init__()
        self.taps = list(architecture.taps)
        self.tower = architecture.build_tower()
        self.tower.requires_grad_(not architecture.frozen)
        self.frozen = architecture.frozen
        self.input_scale = architecture.input_scale
        self.residual = architecture.residual
        training = self.tower.training
        self.tower.eval()
        with torch.no_grad():
            width = self.features(torch.zeros(1, 3, size, size)).shape[1]
        self.tower.train(training)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 1))

    def features(self, pixels: Tensor) -> Tensor:
        """Concatenate the pooled feature with the mean patch token of every tapped block: (N, F)."""
        pixels = pixels * self.input_scale
        if self.residual:
            pixels = with_residual(pixels, self.residual).contiguous(memory_format=torch.channels_last)
        out = self.tower.forward_intermediates(pixels, indices=self.taps, output_fmt="NLC")  # type: ignore[operator]
        means = [tokens.mean(dim=1) for tokens in out["image_intermediates"]]  # each (N, C)
        return torch.cat([out["image_features"], *means], dim=1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Judge (N, 3, H, W) normalised pixels: (N,) logits."""
        logits: Tensor = self.head(self.features(pixels))
        return logits.squeeze(-1)

    def train(self, mode: bool = True) -> ClipNetwork:  # noqa: FBT001, FBT002 (torch's own signature)
        """Switch training on or off; a frozen tower stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.tower.eval()
        return self


class ClipDetector(OneNetwork):
    """Reduced whole (and crops, if planned) → logit."""

    name = "clip"

    def __init__(self, architecture: ClipArchitecture, plan: ViewPlan) -> None:
        """Build the network with random weights; weights are loaded by whoever has them."""
        self.plan = plan
        self.network: nn.Module = ClipNetwork(architecture, plan.size)

    def features(self, pixels: Tensor) -> Tensor:
        """Run the tower: (N, 3, H, W) float32 normalised → (N, F)."""
        network = self.network
        assert isinstance(network, ClipNetwork)  # noqa: S101 (what the constructor made)
        return network.features(pixels)

    def judge(self, features: Tensor) -> Tensor:
        """Judge what the tower gave: (N, F) → (N,) logits."""
        logits: Tensor = self.network.get_submodule("head")(features)
        return logits.squeeze(-1)

    def see(self, views: Tensor, sizes: Sequence[tuple[int, int]] = ()) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """Judge a batch and tell what the judgement is made of: (B, V, 3, H, W) uint8 → (B,), (B, F) float32.

        The features are normalised as the head does first, without its own scales, and averaged over views. A logit
        is a linear function of them, whatever head is fitted on them later. Device thread only.
        """
        outputs = self.run(views)  # (B·V, F)
        features = layer_norm(outputs, outputs.shape[1:]).view(*views.shape[:2], -1).mean(dim=1)  # (B, F)
        return self.judge(outputs).view(views.shape[:2]).mean(dim=1), features

    @torch.no_grad()
    def judge_features(self, features: Tensor) -> Tensor:
        """Judge what `see` gave, perhaps with another head: (B, F) → (B,) float32."""
        network = self.network
        assert isinstance(network, ClipNetwork)  # noqa: S101 (what the constructor made)
        weights = dict(network.head.named_parameters())  # of the normalisation and the linear layer after it
        scaled = features.to(weights["1.weight"].device).float() * weights["0.weight"] + weights["0.bias"]
        return linear(scaled, weights["1.weight"], weights["1.bias"]).squeeze(-1)

    def heatmap_layer(self) -> nn.Module:
        """Name a normalisation inside the first block that the head reads from.

        Later blocks are no more than a detour to the logit: a planted mark was not to be found there. Of a head that
        reads the pooled feature alone it is the last block; after that one the class token alone counts, so the
        gradient at every patch token is zero; before the block's attention it is not. Attention-pooled towers have the
        same layer as norm1.
        """
        network: Any = self.network
        tower = network.tower
        trunk = hasattr(tower, "trunk")
        blocks = list((tower.trunk.blocks if trunk else tower.transformer.resblocks).children())
        first: nn.Module = blocks[min((tap % len(blocks) for tap in network.taps), default=-1)]
        return first.get_submodule("norm1" if trunk else "ln_1")
