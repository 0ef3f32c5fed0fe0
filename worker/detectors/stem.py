"""What a network sees first: high-pass channels beside the pixels, and convolutions that overlap instead of patches."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

if TYPE_CHECKING:
    from collections.abc import Sequence


def with_residual(pixels: Tensor, gain: float) -> Tensor:
    """Add what each pixel differs by from the mean around it, times the gain: (N, 3, H, W) → (N, 6, H, W)."""
    around = avg_pool2d(pixels, 3, stride=1, padding=1, count_include_pad=False)
    return torch.cat([pixels, gain * (pixels - around)], dim=1)


def overlapping_stem(channels: int, widths: Sequence[int], halvings: int = 1) -> nn.Sequential:
    """Make 3x3 convolutions of these widths, the last `halvings` of them each halving height and width."""
    layers: list[nn.Module] = []
    for place, (before, width) in enumerate(pairwise((channels, *widths)), start=1):
        stride = 2 if place > len(widths) - halvings else 1
        layers += [nn.Conv2d(before, width, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(width)]
        layers += [nn.GELU()] if place < len(widths) else []
    return nn.Sequential(*layers)
