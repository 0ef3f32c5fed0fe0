"""Rounding: what is calibrated and measured is what ships."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def shipped_precision(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Round floating-point tensors to float16; counters stay as they are."""
    return {name: value.half() if value.is_floating_point() else value for name, value in tensors.items()}
