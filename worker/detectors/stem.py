"""What a network sees first: high-pass channels beside the pixels, and convolutions that overlap instead of patches."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

if TYPE_CHECKING:
    from collections.abc import Sequence

_ACTIVATIONS: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "relu": nn.ReLU}


def with_residual(pixels: Tensor, gain: float) -> Tensor:
    """Add what each pixel differs by from the mean around it, times the gain: (N, 3, H, W) → (N, 6, H, W)."""
    around = avg_pool2d(pixels, 3, stride=1, padding=1, count_include_pad=False)
    return torch.cat([pixels, gain * (pixels - around)], dim=1)


def overlapping_stem(
    channels: int, widths: Sequence[int], strides: Sequence[int], activation: str = "gelu"
) -> nn.Sequential:
    """Make 3x3 convolutions of these widths and strides, normalised, with an activation between them.

    Raises:
        ValueError: there is not one stride for every width, or no such activation.
    """
    if len(strides) != len(widths):
        raise ValueError(f"{len(widths)} convolutions in the stem, but {len(strides)} strides")
    if activation not in _ACTIVATIONS:
        raise ValueError(f"a stem's activation is one of {', '.join(_ACTIVATIONS)}, not {activation!r}")
    layers: list[nn.Module] = []
    for (before, width), stride in zip(pairwise((channels, *widths)), strides, strict=True):
        layers += [_ACTIVATIONS[activation]()] if layers else []
        layers += [nn.Conv2d(before, width, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(width)]
    return nn.Sequential(*layers)


def late_strides(count: int, halvings: int) -> tuple[int, ...]:
    """Give the strides of so many convolutions where the last `halvings` of them halve height and width."""
    return (1,) * (count - halvings) + (2,) * halvings
