"""Pixels as detectors see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# Detectors see pixels as (x / 255 - 0.5) / 0.25: about zero mean and unit spread, whatever the data set.
PIXEL_MEAN = 0.5
PIXEL_SPREAD = 0.25


def normalise(views: Tensor) -> Tensor:
    """Turn uint8 pixels of any shape into float32 of about zero mean and unit spread."""
    return (views.float() / 255.0 - PIXEL_MEAN) / PIXEL_SPREAD
