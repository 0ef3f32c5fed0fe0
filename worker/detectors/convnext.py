"""ConvNeXt detector: a timm ConvNeXt on native pixels, where the traces of generators and cameras live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from timm.models import create_model
from timm.models.convnext import ConvNeXt
from torch import Tensor, nn

from worker.detectors.detector import OneNetwork
from worker.detectors.stem import late_strides, overlapping_stem, with_residual
from worker.images.views import ViewPlan

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class ConvNextArchitecture:
    """Either a timm model by name (the production recipe) or the keyword arguments of a ConvNeXt of our own.

    Attributes:
        model: a timm model name, or None.
        network: keyword arguments of timm's ConvNeXt where there is no name.
        stem: widths of a stem of overlapping 3x3 convolutions, the last with stride 2, in place of timm's patches.
            For small views, whose traces are one or two pixels wide; `patch_size` must then be 1.
        stem_strides: one for each of them, where it is not the last alone that halves the picture.
        stem_activation: between them, `gelu` or the cheaper `relu` (`network.act_layer` says what the stages use).
        residual: gain of three high-pass channels given beside the pixels, 0 for none. What tells generators apart is
            small beside what pictures show: a network that starts from nothing finds it far sooner with the content
            taken off (the idea of Fridrich & Kodovsky 2012, doi:10.1109/TIFS.2012.2190402). Not for named models,
            whose weights know three channels.
    """

    model: str | None = None
    network: Mapping[str, Any] | None = None
    stem: tuple[int, ...] = ()
    stem_strides: tuple[int, ...] = ()
    stem_activation: str = "gelu"
    residual: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what would be left out in silence, or fail far from here."""
        if self.model is not None and (self.stem or self.residual or self.network):
            raise ValueError(f"{self.model} brings its own layers: leave out either it, or network, stem and residual")
        if self.stem_strides and not self.stem:
            raise ValueError("stem_strides need a stem")

    def build(self) -> nn.Module:
        """Make the network with one output, weights not yet loaded."""
        if self.model is not None:
            made: nn.Module = create_model(self.model, pretrained=False, num_classes=1)
            return made
        # JSON and TOML have lists where timm wants tuples.
        arguments: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in (self.network or {}).items()
        }
        channels = 6 if self.residual else 3
        network = ConvNeXt(in_chans=channels, num_classes=1, **arguments)
        if self.stem:
            strides = self.stem_strides or late_strides(len(self.stem), 1)
            network.stem = overlapping_stem(channels, self.stem, strides, self.stem_activation)
        return network


class ConvNextDetector(OneNetwork):
    """Native crops → logit, channels-last throughout."""

    name = "convnext"

    def __init__(self, architecture: ConvNextArchitecture, plan: ViewPlan) -> None:
        """Build the network with random weights; weights are loaded by whoever has them."""
        self.plan = plan
        self._residual = architecture.residual
        self.network: nn.Module = architecture.build()
        self.network.to(memory_format=torch.channels_last)

    def features(self, pixels: Tensor) -> Tensor:
        """Run the network: (N, 3, H, W) float32 normalised → (N, 1), the logits themselves."""
        if self._residual:
            pixels = with_residual(pixels, self._residual)
        logits: Tensor = self.network(pixels.contiguous(memory_format=torch.channels_last))
        return logits

    def heatmap_layer(self) -> nn.Module:
        """Name a stage, (N, C, h, w): the last is too coarse to point anywhere in a small view, so the one before.

        Where that has no blocks but only halves the picture once more, it is the one before it, and so on.
        """
        stages = list(self.network.get_submodule("stages").children())[:-1]
        return next((stage for stage in reversed(stages) if any(stage.get_submodule("blocks").children())), stages[-1])
