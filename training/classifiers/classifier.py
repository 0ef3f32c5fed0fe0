"""A classifier: one timm network, or a small CNN of our own, with a dense head; the student systems are such.

It keeps the detectors' contract (`worker.detectors.detector.Detector`), so the loop that fits detectors fits it, and
Grad-CAM explains it. It never ships: bundles hold a CLIP and a ConvNeXt detector.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import timm
import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn
from torch.nn.functional import pad

from worker.detectors.detector import OneNetwork
from worker.detectors.pixels import PIXEL_MEAN, PIXEL_SPREAD
from worker.images.views import ViewPlan

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class ClassifierArchitecture:
    """A body and a dense head.

    Attributes:
        model: a timm model name, or None for a small CNN.
        widths: of the small CNN's blocks (3x3 convolution, batch norm, ReLU, 2x2 maximum).
        hidden: widths of the head's dense layers before the last.
        batch_norm: normalise after each of them.
        dropout: before every dense layer of the head.
        freeze: submodules of a pretrained body that stay as they came, such as `layer1`.
        denoise: take the 3x3 median of every picture first.
    """

    model: str | None = None
    widths: tuple[int, ...] = ()
    hidden: tuple[int, ...] = ()
    batch_norm: bool = False
    dropout: float = 0.0
    freeze: tuple[str, ...] = ()
    denoise: bool = False


def architecture_of(values: Mapping[str, Any]) -> ClassifierArchitecture:
    """Read plain values.

    Raises:
        TypeError: there are keys that an architecture does not have.
    """
    arguments: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return ClassifierArchitecture(**arguments)


class ClassifierNetwork(nn.Module):
    """Body and head: (N, 3, H, W) in the body's own normalisation → (N,) logits."""

    def __init__(self, architecture: ClassifierArchitecture, size: int) -> None:
        """Build with fresh weights; one pass over zeros tells how wide the head must be."""
        super().__init__()
        self.denoise = architecture.denoise
        self.frozen: tuple[str, ...] = ()
        self.body: nn.Module = (
            timm.create_model(architecture.model, pretrained=False, num_classes=0)
            if architecture.model
            else small_cnn(architecture.widths)
        )
        self.eval()
        with torch.no_grad():
            width = self.body(torch.zeros(1, 3, size, size)).shape[1]
        self.train()
        self.head = dense_head(width, architecture)

    def forward(self, pixels: Tensor) -> Tensor:
        """Judge (N, 3, H, W): (N,) logits."""
        if self.denoise:
            pixels = median_3x3(pixels)
        logits: Tensor = self.head(self.body(pixels.contiguous(memory_format=torch.channels_last)))
        return logits.squeeze(-1)

    def freeze(self, names: tuple[str, ...]) -> None:
        """Keep these submodules of the body as they are, statistics of their batch norms included."""
        self.frozen = names
        for name in names:
            self.body.get_submodule(name).requires_grad_(requires_grad=False)
        self.train(self.training)

    def train(self, mode: bool = True) -> ClassifierNetwork:  # noqa: FBT001, FBT002 (torch's own signature)
        """Switch training on or off; what is frozen stays in evaluation mode."""
        super().train(mode)
        for name in self.frozen:
            self.body.get_submodule(name).eval()
        return self


def small_cnn(widths: tuple[int, ...]) -> nn.Module:
    """Make convolution blocks of these widths, each halving the picture, and a mean over what is left: → (N, F)."""
    blocks = [
        nn.Sequential(nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(), nn.MaxPool2d(2))
        for a, b in pairwise((3, *widths))
    ]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def dense_head(width: int, architecture: ClassifierArchitecture) -> nn.Sequential:
    """Make the dense layers from a body's features to one logit: (N, width) → (N, 1)."""
    layers: list[nn.Module] = []
    for before, after in pairwise((width, *architecture.hidden)):
        layers += [nn.Dropout(architecture.dropout), nn.Linear(before, after)]
        layers += [nn.BatchNorm1d(after)] if architecture.batch_norm else []
        layers += [nn.ReLU()]
    last = architecture.hidden[-1] if architecture.hidden else width
    return nn.Sequential(*layers, nn.Dropout(architecture.dropout), nn.Linear(last, 1))


def median_3x3(pixels: Tensor) -> Tensor:
    """Replace each pixel by the median of its neighbourhood, by channel: (N, C, H, W) → the same."""
    around = pad(pixels, (1, 1, 1, 1), mode="reflect").unfold(2, 3, 1).unfold(3, 3, 1)  # (N, C, H, W, 3, 3)
    return around.flatten(-2).median(dim=-1).values


class Classifier(OneNetwork):
    """Reduced whole → logit, with a detector's contract."""

    def __init__(self, name: str, architecture: ClassifierArchitecture, plan: ViewPlan) -> None:
        """Build the network with fresh weights."""
        self.name = name
        self.plan = plan
        self.architecture = architecture
        self.network: nn.Module = ClassifierNetwork(architecture, plan.size)
        self.network.to(memory_format=torch.channels_last)
        settings = getattr(self.network.get_submodule("body"), "pretrained_cfg", {})
        self._mean = torch.tensor(settings.get("mean", IMAGENET_DEFAULT_MEAN)).view(1, 3, 1, 1)
        self._spread = torch.tensor(settings.get("std", IMAGENET_DEFAULT_STD)).view(1, 3, 1, 1)

    def features(self, pixels: Tensor) -> Tensor:
        """Run the network: (N, 3, H, W) float32 normalised as detectors do → (N, 1), the logits themselves."""
        mean, spread = self._mean.to(pixels.device), self._spread.to(pixels.device)
        logits: Tensor = self.network((pixels * PIXEL_SPREAD + PIXEL_MEAN - mean) / spread)
        return logits.unsqueeze(-1)

    def heatmap_layers(self) -> list[nn.Module]:
        """Name the last layer of each of the body's stages, the finest first."""
        body = self.network.get_submodule("body")
        stages = getattr(body, "feature_info", None)
        if stages is None:
            return [block for block in body.children() if isinstance(block, nn.Sequential)]
        return [body.get_submodule(stage["module"]) for stage in stages if stage["module"]]

    def heatmap_layer(self) -> nn.Module:
        """Name the last stage, (N, C, h, w), whose activations Grad-CAM weighs."""
        return self.heatmap_layers()[-1]
