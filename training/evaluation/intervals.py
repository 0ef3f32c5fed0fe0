"""Intervals: how far a measure may lie from what it is measured on, given that rows of one source are alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import binomtest, t

from training.evaluation.metrics import at_own_prior, expected_calibration_error, measure, of_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from training.evaluation.metrics import Cuts, Floats, Labels
    from worker.decisions.calibration import Thresholds

    Rows = NDArray[np.int64]
    Measure = Callable[[Rows], dict[str, Any]]

BOOTSTRAPS = 200
# Below this many clusters a bootstrap's interval is far too narrow: of five sources it holds the truth in 84 of 100.
FEWEST_DRAWN = 10
METHOD = (
    f"percentile bootstrap, {BOOTSTRAPS} draws (100 for a group); the jackknife with Student's t below {FEWEST_DRAWN} "
    "clusters; Clopper-Pearson over images, as if each were drawn by itself, where a share is the same in every draw; "
    "of calibration errors the basic bootstrap, with the draws' bias left in the upper end, and from 0 where right "
    "odds would give as much"
)
# Chance alone makes them larger, so a draw's lies above the figure that it was drawn from.
_CALIBRATION_ERRORS = ("ece_15", "ece_15_at_own_prior")


def intervals(
    labels: Labels,
    probabilities: Floats,
    clusters: NDArray[np.str_],
    thresholds: Thresholds | Cuts | None = None,
    draws: int = BOOTSTRAPS,
    *,
    prior_shift: float | None = None,
) -> dict[str, list[float]]:
    """Give a 95 % interval of every measure, whole clusters drawn or left out together; with one cluster, rows.

    From ten clusters it is the percentile bootstrap's. Of fewer that is too narrow, and the delete-one jackknife's with
    Student's t is given (Cameron & Miller 2015, doi:10.3368/jhr.50.2.317); of two or three it says hardly anything,
    which is so. A share of images that is the same in every draw, such as none accused, has Clopper and Pearson's.

    A calibration error is biased upwards, the more the fewer images (Kumar, Liang & Ma 2019; Roelofs et al. 2022), and
    a draw's once more: percentiles lie above the figure. The bootstrap's interval is the basic one for it, percentiles
    turned round the figure, which takes the draws' bias off (Davison & Hinkley 1997, section 5.2); only the upper end
    is let off that, so that the figure, which is biased itself, lies inside. It begins at 0 where right odds would give
    as large an error, in at least one of 40 cases.

    Args:
        labels: (N,), 1 = AI-generated.
        probabilities: (N,), calibrated.
        clusters: (N,), what belongs together: rows of one source are alike.
        thresholds: as for `measure`.
        draws: how often.
        prior_shift: as for `measure`.

    Returns:
        [low, high] by measure. Left out is what most draws of the bootstrap cannot give (one class alone), or what
        cannot be measured without some one of few clusters: a class that lies in one source alone says nothing of
        sources.
    """

    def of(rows: Rows) -> dict[str, Any]:
        return measure(labels[rows], probabilities[rows], of_rows(rows, thresholds), prior_shift)

    members = _members(clusters)
    whole = of(np.arange(len(labels)))
    bounds = _jackknife(whole, members, of) if len(members) < FEWEST_DRAWN else _bootstrap(whole, members, of, draws)
    own = at_own_prior(labels, probabilities, prior_shift or 0.0) if labels.min() < labels.max() else probabilities
    for name, values in (("ece_15", probabilities), ("ece_15_at_own_prior", own)):
        if name in bounds and whole[name] <= _chance_error(values, draws):
            bounds[name][0] = 0.0
    counts = _counts(whole)
    for name in counts.keys() & bounds.keys():
        if bounds[name][0] == bounds[name][1]:
            exact = binomtest(round(whole[name] * counts[name]), counts[name]).proportion_ci(method="exact")
            bounds[name] = [float(exact.low), float(exact.high)]
    return bounds


def _counts(whole: dict[str, Any]) -> dict[str, int]:
    """Say of how many images each share is."""
    positives, confusion = whole["ai_generated"], whole["confusion"]
    verdicts = whole.get("verdicts", {"not_ai_generated": {}, "ai_generated": {}})
    return {
        **dict.fromkeys(("accuracy", "coverage"), whole["images"]),
        **dict.fromkeys(("recall", "found", "wrongly_cleared"), positives),
        **dict.fromkeys(("false_positive_rate", "wrongly_accused"), whole["images"] - positives),
        "precision": confusion["fp"] + confusion["tp"],
        "accuracy_outside_uncertain": sum(
            sum(verdicts[decided].values()) for decided in ("not_ai_generated", "ai_generated")
        ),
    }


def _members(clusters: NDArray[np.str_]) -> list[Rows]:
    """Give the rows of each cluster; of one alone, each row by itself."""
    names, place = np.unique(clusters, return_inverse=True)
    if len(names) == 1:
        return list(np.arange(len(clusters))[:, None])
    return np.split(np.argsort(place, kind="stable"), np.cumsum(np.bincount(place))[:-1])


def _bootstrap(whole: dict[str, Any], members: list[Rows], of: Measure, draws: int) -> dict[str, list[float]]:
    rng, drawn = np.random.default_rng(0), _Values()
    for _ in range(draws):
        drawn.take(of(np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])))
    return {
        name: _basic(whole[name], values) if name in _CALIBRATION_ERRORS else _percentiles(values)
        for name, values in drawn.items()
        if len(values) >= draws / 2
    }


def _jackknife(whole: dict[str, Any], members: list[Rows], of: Measure) -> dict[str, list[float]]:
    """Leave out each of G clusters; what cannot be measured without one of them has no interval."""
    count, left = len(members), _Values()
    for place in range(count if count > 1 else 0):
        left.take(of(np.concatenate([rows for other, rows in enumerate(members) if other != place])))
    reach = float(t.ppf(0.975, max(count - 1, 1)))
    bounds = {}
    for name, values in left.items():
        if len(values) == count and isinstance(whole[name], float):
            off = reach * float(np.sqrt((count - 1) * np.var(values)))
            most = np.inf if name == "nll" else 1.0
            bounds[name] = [max(0.0, whole[name] - off), min(most, whole[name] + off)]
    return bounds


class _Values(dict[str, list[float]]):
    """Every measure's values, by name; those that are none are left out."""

    def take(self, drawn: dict[str, Any]) -> None:
        for name, value in drawn.items():
            if isinstance(value, float):
                self.setdefault(name, []).append(value)


def _chance_error(probabilities: Floats, draws: int) -> float:
    """Give the calibration error that right odds exceed in one of 40 cases, for labels drawn from them."""
    rng = np.random.default_rng(0)
    errors = [
        expected_calibration_error((rng.random(len(probabilities)) < probabilities).astype(np.int8), probabilities)
        for _ in range(draws)
    ]
    return float(np.quantile(errors, 0.975))


def _percentiles(values: list[float]) -> list[float]:
    return [float(q) for q in np.quantile(values, [0.025, 0.975])]


def _basic(figure: float, values: list[float]) -> list[float]:
    low, high = _percentiles(values)
    bias = max(0.0, float(np.mean(values)) - figure)
    return [max(0.0, 2.0 * figure - high), 2.0 * figure - low + bias]
