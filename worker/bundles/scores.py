"""Scores: what a bundle makes of one image."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from worker.errors import AssayError

if TYPE_CHECKING:
    from collections.abc import Mapping


class NotFiniteError(AssayError):
    """The detectors give no finite number for this image, whatever engine runs them; nothing is served of it."""


@dataclass(frozen=True)
class Scores:
    """What a bundle makes of one image.

    Attributes:
        logits: raw, by detector name.
        probabilities: calibrated for each detector alone, by name.
        logit: fused and calibrated.
        probability: fused and calibrated, before any prior shift.
        features: of the detectors whose features are stored, one after the other, float16, little-endian; None where
            there are none.
        engines: how each detector was run, by name, such as `openvino bf16`; `stored` where it was judged by features.
        weights: of each detector's logit in the fused one, by name; 0 where it has no vote.
    """

    logits: dict[str, float]
    probabilities: dict[str, float]
    logit: float
    probability: float
    features: bytes | None = None
    engines: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_finite(self) -> bool:
        """Tell whether every logit is a number that can be served."""
        return all(math.isfinite(value) for value in (*self.logits.values(), self.logit))
