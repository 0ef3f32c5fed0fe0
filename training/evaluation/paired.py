"""Paired bootstrap: two bundles over the same images, drawn together, so that what is hard for both cancels out.

What belongs together is drawn together (Davison & Hinkley 1997, 3.8): images of one source where there are sources
enough to speak of an interval at all, else images of one content.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from training.evaluation.metrics import ECE_BINS, LOW_FPR

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Labels = NDArray[np.int8]

DRAWS = 1000
# Fewer sources than this make an interval of whole sources say nothing.
LEAST_CLUSTERS = 10
_AT_ONCE = 2_000_000
_SEED = 20261121


@dataclass(frozen=True)
class Pair:
    """A measure of champion and challenger, their difference, and its 95 % interval by percentiles."""

    champion: float
    challenger: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        """What the challenger has more."""
        return self.challenger - self.champion


def clusters_of(sources: NDArray[np.str_], hashes: NDArray[np.str_]) -> NDArray[np.str_]:
    """Say what is drawn together, (N,): sources, or contents where there are few sources."""
    return sources if len(np.unique(sources)) >= LEAST_CLUSTERS else hashes


def accuracy(labels: Labels, champion: Floats, challenger: Floats, clusters: NDArray[np.str_]) -> Pair:
    """Compare the shares of images on the right side of one half; all arrays are (N,), N at least 1."""
    old, new = ((probabilities >= 0.5) == (labels == 1) for probabilities in (champion, challenger))  # noqa: PLR2004
    _, members = np.unique(clusters, return_inverse=True)
    gained = np.bincount(members, weights=new.astype(float) - old.astype(float))  # (K,)
    images = np.bincount(members).astype(float)
    rng, count = np.random.default_rng(_SEED), len(images)
    means = []
    for size in _portions(count):
        drawn = rng.integers(0, count, (size, count))
        means.append(gained[drawn].sum(axis=1) / images[drawn].sum(axis=1))
    low, high = _interval(np.concatenate(means))
    return Pair(float(old.mean()), float(new.mean()), low, high)


def found_at_low_rate(labels: Labels, champion: Floats, challenger: Floats, clusters: NDArray[np.str_]) -> Pair:
    """Compare the shares of AI-generated images found at 1 % false positives; both classes must be there."""
    differences = [
        tpr_at_low_fpr(labels[rows], challenger[rows]) - tpr_at_low_fpr(labels[rows], champion[rows])
        for rows in _draws(labels, clusters)
    ]
    old, new = (tpr_at_low_fpr(labels, probabilities) for probabilities in (champion, challenger))
    return Pair(old, new, *_interval(np.array(differences)))


def tpr_at_low_fpr(labels: Labels, probabilities: Floats) -> float:
    """Give the share of AI-generated images above all but 1 % of the others: `tpr_at_fpr_1pct` of the metrics."""
    negatives, positives = probabilities[labels == 0], probabilities[labels == 1]
    above = len(negatives) - 1 - int(LOW_FPR * len(negatives) + 1e-9)
    return float(np.mean(positives > np.partition(negatives, above)[above]))


def calibration_error(labels: Labels, champion: Floats, challenger: Floats, clusters: NDArray[np.str_]) -> Pair:
    """Compare the expected calibration errors, 15 bins."""
    differences = [
        _ece(labels[rows], challenger[rows]) - _ece(labels[rows], champion[rows]) for rows in _draws(labels, clusters)
    ]
    return Pair(_ece(labels, champion), _ece(labels, challenger), *_interval(np.array(differences)))


def _ece(labels: Labels, probabilities: Floats) -> float:
    bins = np.minimum((probabilities * ECE_BINS).astype(int), ECE_BINS - 1)
    return float(np.abs(np.bincount(bins, weights=probabilities - labels)).sum() / len(labels))


def _draws(labels: Labels, clusters: NDArray[np.str_]) -> Iterator[NDArray[np.int64]]:
    """Draw rows, whole clusters together; a draw without either class, should the labels have both, is drawn again."""
    rng = np.random.default_rng(_SEED)
    names, members = np.unique(clusters, return_inverse=True)
    order = np.argsort(members, kind="stable")
    rows_of = np.split(order, np.cumsum(np.bincount(members))[:-1])
    classes = len(np.unique(labels))
    made = 0
    while made < DRAWS:
        drawn = rng.integers(0, len(names), len(names))
        alone = len(names) == len(labels)  # each row its own cluster: no need to gather them
        rows = order[drawn] if alone else np.concatenate([rows_of[cluster] for cluster in drawn])
        if len(np.unique(labels[rows])) == classes:
            made += 1
            yield rows


def _portions(count: int) -> Iterator[int]:
    left, size = DRAWS, max(1, _AT_ONCE // max(1, count))
    while left > 0:
        yield min(size, left)
        left -= size


def _interval(differences: Floats) -> tuple[float, float]:
    low, high = np.quantile(differences, [0.025, 0.975])
    return float(low), float(high)
