"""Measures: labels and probabilities → every figure of the design's section 6; pure arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit, logit

from worker.decisions.calibration import is_accused, is_cleared

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from worker.decisions.calibration import Thresholds

    Labels = NDArray[np.int8]
    Floats = NDArray[np.float64]

HALF = 0.5
LOW_FPR = 0.01
ECE_BINS = 15
_SURE = 1e-9  # as near to 0 and 1 as an offset can reach


@dataclass(frozen=True)
class Cuts:
    """Thresholds of each image's own, (N,) each: where its source must not have had a say in them."""

    lower: Floats
    upper: Floats

    def take(self, rows: NDArray[Any]) -> Cuts:
        """Select images by mask or index."""
        return Cuts(self.lower[rows], self.upper[rows])


def of_rows(rows: NDArray[Any], thresholds: Thresholds | Cuts | None) -> Thresholds | Cuts | None:
    """Give the thresholds of some rows: those of all, or their own."""
    return thresholds.take(rows) if isinstance(thresholds, Cuts) else thresholds


def measure(
    labels: Labels,
    probabilities: Floats,
    thresholds: Thresholds | Cuts | None = None,
    prior_shift: float | None = None,
) -> dict[str, Any]:
    """Measure one group of images.

    Args:
        labels: (N,), 1 = AI-generated.
        probabilities: (N,), calibrated.
        thresholds: of the verdict; without them coverage is not reported. Accuracy is always at one half.
        prior_shift: the policy's that is in the probabilities; without it `ece_15_at_own_prior` is not reported.

    Returns:
        Plain values; measures that need both classes are None where one is missing.
    """
    called = (probabilities >= HALF).astype(np.int8)
    # Counted here: a bootstrap asks a thousand times, and the library's checks cost ten times the counting.
    counts = np.bincount(2 * labels + called, minlength=4)
    true_negatives, false_positives, misses, hits = counts.tolist()
    recall, false_positive_rate = _share(hits, hits + misses), _share(false_positives, false_positives + true_negatives)
    both = recall is not None and false_positive_rate is not None
    return {
        "images": len(labels),
        "ai_generated": int(labels.sum()),
        "accuracy": float(np.mean(called == labels)),
        "balanced_accuracy": _balanced(recall, false_positive_rate),
        "precision": _share(hits, hits + false_positives),
        "recall": recall,
        "f1": _share(2 * hits, 2 * hits + false_positives + misses),
        "false_positive_rate": false_positive_rate,
        "confusion": {"tn": true_negatives, "fp": false_positives, "fn": misses, "tp": hits},
        "brier": float(np.mean((probabilities - labels) ** 2)),
        "nll": _nll(labels, probabilities),
        "ece_15": expected_calibration_error(labels, probabilities),
        **(
            _ranking(labels, probabilities)
            if both
            else dict.fromkeys(("auroc", "pauc_fpr_1pct", "ap", "tpr_at_fpr_1pct", "tpr_at_fpr_0.1pct"))
        ),
        **(_outside_uncertain(labels, probabilities, thresholds) if thresholds else {}),
        **(
            {"ece_15_at_own_prior": _ece_at_prior(labels, probabilities, prior_shift)}
            if prior_shift is not None
            else {}
        ),
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _balanced(recall: float | None, false_positive_rate: float | None) -> float | None:
    return None if recall is None or false_positive_rate is None else (recall + 1.0 - false_positive_rate) / 2.0


def _nll(labels: Labels, probabilities: Floats) -> float:
    inside = np.clip(probabilities, 1e-12, 1.0 - 1e-12)
    return float(-np.mean(np.where(labels == 1, np.log(inside), np.log1p(-inside))))


def auroc(labels: Labels, scores: Floats) -> float:
    """Give the area under the ROC curve of (N,) scores, 0 to 1; both classes must be there."""
    rates, hits = _roc(*_above_each_threshold(labels, scores))
    return float(np.trapezoid(hits, rates))


def _ranking(labels: Labels, probabilities: Floats) -> dict[str, float]:
    accused, detected = _above_each_threshold(labels, probabilities)
    rates, hits = _roc(accused, detected)
    return {
        "auroc": float(np.trapezoid(hits, rates)),
        "pauc_fpr_1pct": _partial_area(rates, hits, LOW_FPR),
        "ap": float(np.sum(np.diff(hits) * detected / (accused + detected))),
        "tpr_at_fpr_1pct": float(hits[rates <= LOW_FPR].max()),
        "tpr_at_fpr_0.1pct": float(hits[rates <= LOW_FPR / 10].max()),
    }


def _above_each_threshold(labels: Labels, probabilities: Floats) -> tuple[Floats, Floats]:
    """Count photographs and AI-generated images from each threshold up, the highest first: (T,) and (T,).

    As scikit-learn's curves count; here for a bootstrap's sake, like the confusion matrix.
    """
    order = np.argsort(-probabilities, kind="stable")
    last = np.append(np.flatnonzero(np.diff(probabilities[order])), len(order) - 1)  # of equal probabilities
    detected = np.cumsum(labels[order], dtype=np.float64)[last]
    return last + 1.0 - detected, detected


def _roc(accused: Floats, detected: Floats) -> tuple[Floats, Floats]:
    """Give false-positive rates and recalls, from none accused to all: (T + 1,) and (T + 1,)."""
    return np.append(0.0, accused / accused[-1]), np.append(0.0, detected / detected[-1])


def _partial_area(rates: Floats, hits: Floats, most: float) -> float:
    """Give the area below a ROC curve up to a rate, 0.5 for chance and 1 at best (McClish 1989, as scikit-learn)."""
    inside = int(np.searchsorted(rates, most, side="right"))
    at_most = np.interp(most, rates, hits)
    area = float(np.trapezoid(np.append(hits[:inside], at_most), np.append(rates[:inside], most)))
    chance = most * most / 2.0
    return 0.5 * (1.0 + (area - chance) / (most - chance))


def _outside_uncertain(labels: Labels, probabilities: Floats, thresholds: Thresholds | Cuts) -> dict[str, Any]:
    accused, cleared = is_accused(probabilities, thresholds.upper), is_cleared(probabilities, thresholds.lower)
    decided = accused | cleared
    right = (accused & (labels == 1)) | (cleared & (labels == 0))
    negatives, positives = labels == 0, labels == 1
    return {
        "verdicts": {
            name: {"not_ai_generated": int((which & negatives).sum()), "ai_generated": int((which & positives).sum())}
            for name, which in (("not_ai_generated", cleared), ("uncertain", ~decided), ("ai_generated", accused))
        },
        "coverage": float(decided.mean()),
        "accuracy_outside_uncertain": _share(int(right.sum()), int(decided.sum())),
        "wrongly_accused": _share(int((accused & negatives).sum()), int(negatives.sum())),
        "found": _share(int((accused & positives).sum()), int(positives.sum())),
        "wrongly_cleared": _share(int((cleared & positives).sum()), int(positives.sum())),
    }


def expected_calibration_error(labels: Labels, probabilities: Floats) -> float:
    """Weigh, over 15 equal bins, how far the mean probability is from the share of AI-generated images."""
    bins = np.minimum((probabilities * ECE_BINS).astype(int), ECE_BINS - 1)
    error = 0.0
    for index in range(ECE_BINS):
        inside = bins == index
        if inside.any():
            error += float(inside.mean()) * abs(float(probabilities[inside].mean()) - float(labels[inside].mean()))
    return error


def _ece_at_prior(labels: Labels, probabilities: Floats, prior_shift: float) -> float | None:
    if labels.min() == labels.max():  # one class alone has no odds
        return None
    return expected_calibration_error(labels, at_own_prior(labels, probabilities, prior_shift))


def at_own_prior(labels: Labels, probabilities: Floats, prior_shift: float = 0.0) -> Floats:
    """Give the probabilities that a policy would which knows the images' share of AI-generated ones: (N,).

    Bundles are calibrated for even odds; on a set with another share every logit is off by the logit of that share,
    which is what a policy's prior shift is for. What is left is the bundle's own error, its bias included.

    Args:
        labels: (N,), with both classes.
        probabilities: (N,).
        prior_shift: the one that is in them already.
    """
    inside, share = np.clip(probabilities, _SURE, 1.0 - _SURE), float(labels.mean())
    moved: Floats = expit(logit(inside) - prior_shift + logit(share))
    return moved
