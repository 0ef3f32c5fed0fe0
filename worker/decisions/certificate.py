"""Certificate: what held-out images prove of an upper threshold; pure arithmetic, as in `calibration`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worker.decisions.bounds import CONFIDENCE_ALPHA, clopper_pearson_upper
from worker.decisions.calibration import is_accused, shift

if TYPE_CHECKING:
    from worker.decisions.calibration import CalibrationFigures, Thresholds


@dataclass(frozen=True)
class Certificate:
    """What an upper threshold's false-positive rate is proven to be, of which images, on how many of them.

    Attributes:
        budget: the rate that the policy tolerates.
        negatives: held-out images that are not AI-generated.
        accused: how many of them lie above the threshold.
        rate_at_most: Clopper-Pearson bound of the rate, one-sided, with confidence `1 - CONFIDENCE_ALPHA`; 1 where
            there are no negatives.
        least_budget: the smallest that so many negatives could certify, none of them accused.
        scope: in words, which images it speaks of; it says nothing of others.
    """

    budget: float
    negatives: int
    accused: int
    rate_at_most: float
    least_budget: float
    scope: str

    @property
    def holds(self) -> bool:
        """Tell whether the rate is proven to be within the budget."""
        return self.rate_at_most <= self.budget

    def to_json(self) -> dict[str, Any]:
        """Write as plain JSON values."""
        return {
            "method": "Clopper-Pearson, one-sided",
            "confidence": 1.0 - CONFIDENCE_ALPHA,
            "holds": self.holds,
            **vars(self),
        }


def certify(
    figures: CalibrationFigures, thresholds: Thresholds, false_positive_budget: float, prior_shift: float = 0.0
) -> Certificate:
    """Say what the held-out negatives prove of an upper threshold; arguments as for `derive_thresholds`."""
    n = len(figures.negatives)
    accused = sum(is_accused(shift(probability, prior_shift), thresholds.upper) for probability in figures.negatives)
    return Certificate(
        budget=false_positive_budget,
        negatives=n,
        accused=accused,
        rate_at_most=clopper_pearson_upper(accused, n) if n else 1.0,
        least_budget=clopper_pearson_upper(0, n) if n else 1.0,
        scope=figures.scope,
    )
