"""Groups: every measure of each source and each generator by itself, and which is the worst."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import roc_auc_score

from training.evaluation.intervals import intervals
from training.evaluation.metrics import measure, of_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.evaluation.ground_truth import GroundTruth
    from training.evaluation.metrics import Cuts, Floats, Labels
    from worker.decisions.calibration import Thresholds

GROUP_BOOTSTRAPS = 100
# Below this many images a group's accuracy says more of chance than of the group.
LEAST_GROUP = 20
_OF_A_GROUP = ("accuracy", "auroc", "recall", "false_positive_rate", "coverage", "wrongly_accused", "found")


def by_group(
    labels: Labels,
    probabilities: Floats,
    groups: NDArray[np.str_],
    thresholds: Thresholds | Cuts | None,
    truth: GroundTruth | None = None,
) -> dict[str, Any]:
    """Measure each group by itself, worst accuracy first; with `intervals_95` where more is known of the images.

    What belongs together is a group's sources, or its contents where it has one source.
    """
    measured = {}
    for name in np.unique(groups).tolist():
        inside = groups == name
        figures = measure(labels[inside], probabilities[inside], of_rows(inside, thresholds))
        if truth is not None:
            sources = truth.sources[inside]
            clusters = sources if len(np.unique(sources)) > 1 else truth.hashes[inside]
            drawn = intervals(
                labels[inside], probabilities[inside], clusters, of_rows(inside, thresholds), GROUP_BOOTSTRAPS
            )
            figures["intervals_95"] = {key: drawn[key] for key in _OF_A_GROUP if key in drawn}
        measured[name] = figures
    return dict(sorted(measured.items(), key=lambda item: float(item[1]["accuracy"])))


def add_ranking_against_negatives(
    by_generator: dict[str, Any], labels: Labels, probabilities: Floats, generators: NDArray[np.str_]
) -> None:
    """Give each generator the AUROC of its images against every image that is not AI-generated.

    A generator's own images are of one class, so by themselves they have none.
    """
    negatives = probabilities[labels == 0]
    for name, figures in by_generator.items():
        own = probabilities[(labels == 1) & (generators == name)]
        if len(own) and len(negatives):
            both = np.concatenate([negatives, own])
            outcome = np.repeat([0, 1], [len(negatives), len(own)])
            figures["auroc_against_negatives"] = float(roc_auc_score(outcome, both))


def worst_of(groups: dict[str, Any]) -> dict[str, Any] | None:
    """Name the group of least accuracy; groups too small to say anything stand back behind larger ones."""
    large = {name: figures for name, figures in groups.items() if figures["images"] >= LEAST_GROUP} or groups
    if not large:
        return None
    name = min(large, key=lambda name: float(large[name]["accuracy"]))
    return {"name": name, "images": large[name]["images"], "accuracy": large[name]["accuracy"]}
