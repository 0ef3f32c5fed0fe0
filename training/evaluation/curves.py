"""Curves: labels and probabilities → the points that reports draw; pure arithmetic.

Thinned, so that a report of a million images is no larger than one of a thousand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn import metrics as sk

from training.evaluation.metrics import ECE_BINS

if TYPE_CHECKING:
    from numpy.typing import NDArray

_POINTS = 240
_HISTOGRAM_BINS = 40


def curves(labels: NDArray[np.int8], probabilities: NDArray[np.float64]) -> dict[str, Any]:
    """Give the points of every curve.

    Args:
        labels: (N,), 1 = AI-generated.
        probabilities: (N,), calibrated.

    Returns:
        `roc` (false_positive_rate, true_positive_rate) and `precision_recall` (recall, precision), each None where a
        class is missing; `reliability`, a list of bins with images; `histogram` (edges, counts by class).
    """
    both = 0 < int(labels.sum()) < len(labels)
    return {
        "roc": _roc(labels, probabilities) if both else None,
        "precision_recall": _precision_recall(labels, probabilities) if both else None,
        "reliability": _reliability(labels, probabilities),
        "histogram": _histogram(labels, probabilities),
    }


def _roc(labels: NDArray[np.int8], probabilities: NDArray[np.float64]) -> dict[str, list[float]]:
    rates, hits, _ = sk.roc_curve(labels, probabilities)
    # Evenly along the logarithm as well, for what happens at one false alarm in a thousand.
    floor = 0.5 / max(int((labels == 0).sum()), 1)
    kept = _along(np.log(np.maximum(rates, floor))) | _along(rates) | _along(hits)
    return {"false_positive_rate": _rounded(rates[kept]), "true_positive_rate": _rounded(hits[kept])}


def _precision_recall(labels: NDArray[np.int8], probabilities: NDArray[np.float64]) -> dict[str, list[float]]:
    precision, recall, _ = sk.precision_recall_curve(labels, probabilities, drop_intermediate=True)
    kept = _along(recall) | _along(precision)
    return {"recall": _rounded(recall[kept]), "precision": _rounded(precision[kept])}


def _along(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Keep the points where a monotone curve enters each of a fixed count of equal steps, and both ends."""
    span = float(values.max() - values.min()) or 1.0
    steps = np.floor((values - values.min()) / span * (_POINTS / 2)).astype(np.int64)
    kept = np.zeros(len(values), dtype=bool)
    kept[np.unique(steps, return_index=True)[1]] = True
    kept[[0, -1]] = True
    return kept


def _reliability(labels: NDArray[np.int8], probabilities: NDArray[np.float64]) -> list[dict[str, float]]:
    bins = np.minimum((probabilities * ECE_BINS).astype(int), ECE_BINS - 1)
    return [
        {
            "from": index / ECE_BINS,
            "to": (index + 1) / ECE_BINS,
            "images": int(inside.sum()),
            "mean_probability": float(probabilities[inside].mean()),
            "ai_generated_share": float(labels[inside].mean()),
        }
        for index in range(ECE_BINS)
        if (inside := bins == index).any()
    ]


def _histogram(labels: NDArray[np.int8], probabilities: NDArray[np.float64]) -> dict[str, list[float]]:
    counts = {
        name: np.histogram(probabilities[labels == label], bins=_HISTOGRAM_BINS, range=(0.0, 1.0))
        for label, name in ((0, "not_ai_generated"), (1, "ai_generated"))
    }
    return {"edges": _rounded(counts["ai_generated"][1])} | {name: hits.tolist() for name, (hits, _) in counts.items()}


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return [round(float(value), 6) for value in values]
