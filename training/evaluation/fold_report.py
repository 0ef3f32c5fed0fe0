"""Report of folds: logits of detectors that never saw an image's source → every measure, all folds together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import roc_auc_score

from training.calibration.calibrate import calibrate, figures_of
from training.calibration.fusion import fuse_all
from training.cross_fit import balanced, judge_changed
from training.evaluation.changes import CHANGES
from training.evaluation.groups import by_group
from training.evaluation.intervals import intervals
from training.evaluation.metrics import measure
from training.evaluation.negatives import PROGRAM, by_kind
from worker.decisions.policy import FIRST_RULES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from training.calibration.calibrate import Calibrated
    from training.calibration.fusion import Measured
    from training.cross_fit import CrossFitted
    from training.evaluation.known import Known
    from training.recipe import Recipe

_CHANGED = 600  # images judged again after each change
_CHANGES_TOLD = ("unchanged", "jpeg_75", "webp_75", "resize_0.5", "resize_0.25")


def report_of(recipe: Recipe, found: CrossFitted, device: str = "cpu") -> dict[str, Any]:
    """Lay out what cross-fitted heads gave, as `measure_folds` does, and how they stand after each change.

    `by_source` has beside them each AI source's order against all photographs of its fold.
    """
    measured, rows = found.measured, found.rows
    nothing = np.empty((len(rows), 0, 0, 3), dtype=np.uint8)
    told = report_of_heads(recipe, measured, replace(rows, pixels=nothing))
    return {**told, "changes": _changed(recipe, found, device)}


def report_of_heads(recipe: Recipe, measured: Measured, known: Known) -> dict[str, Any]:
    """Lay out what cross-fitted heads gave, all but how they stand after changes of the pixels."""
    facts = []
    for judged in _of_one_fit(measured):
        sources = np.unique(known.sources[judged]).tolist()
        facts.append({"sources": sources, "images": len(judged), **aurocs(measured.take(judged))})
    return {
        "recipe": recipe.name,
        "minutes": {part.name: 0.0 for part in recipe.detectors},
        "folds": facts,
        **told_of_folds(measured, known),
    }


def told_of_folds(together: Measured, known: Known) -> dict[str, Any]:
    """Measure fused and calibrated probabilities of all folds; the images of a fold by fits without their sources."""
    found = calibrate(together)
    cuts = found.held_out_cuts(FIRST_RULES.thresholds)
    told = (together.labels, found.held_out_probabilities)
    by_source = by_group(*told, known.sources, cuts)
    fits = _of_one_fit(together) if together.balanced else [part.rows for part in found.left_out]
    ranks = against_photographs(known, found, fits)
    return {
        **aurocs(together),
        "overall": measure(*told, cuts, FIRST_RULES.prior_shift),
        "intervals_95": intervals(*told, together.groups, cuts),
        "negatives": by_kind(known, found.held_out_probabilities, cuts),
        "auroc_mean_over_ai_sources": float(np.mean(list(ranks.values()))) if ranks else None,
        "worst_five_ai_sources": dict(sorted(ranks.items(), key=lambda item: item[1])[:5]),
        "by_source": by_source,
    }


def _of_one_fit(measured: Measured) -> list[NDArray[np.int64]]:
    """Part images by the heads that judged them: rows of each fold."""
    return [judged for _, judged in balanced(measured.labels, measured.groups)]


def against_photographs(known: Known, found: Calibrated, fits: Sequence[NDArray[np.int64]]) -> dict[str, float]:
    """Order each AI source's images against all photographs that the same fit judged: AUROC by source.

    Args:
        known: N images.
        found: their probabilities.
        fits: rows of the images that each fit judged.
    """
    ranks = {}
    for rows in fits:
        labels, sources = known.labels[rows], known.sources[rows]
        probabilities = found.threshold_probabilities[rows]
        negatives = probabilities[(labels == 0) & (known.generators[rows] != PROGRAM)]
        for source in np.unique(sources[labels == 1]).tolist():
            own = probabilities[(labels == 1) & (sources == source)]
            truth = np.r_[np.zeros(len(negatives)), np.ones(len(own))]
            ranks[source] = float(roc_auc_score(truth, np.r_[negatives, own]))
    return ranks


def _changed(recipe: Recipe, found: CrossFitted, device: str) -> dict[str, Any]:
    """Judge some images again after each change: AUROC, what it lost, photographs accused, AI pictures found."""
    order = np.lexsort((np.arange(len(found.rows)), found.rows.labels, found.rows.sources))
    count = min(_CHANGED, len(order))
    which = np.sort(order[np.unique(np.linspace(0, len(order) - 1, count).round().astype(np.int64))])
    calibrated = calibrate(found.measured)
    figures = figures_of(found.measured, calibrated.threshold_probabilities, "")
    upper = FIRST_RULES.thresholds(figures).upper
    photographs = (found.rows.labels[which] == 0) & (found.rows.generators[which] != PROGRAM)
    told: dict[str, Any] = {}
    for name in _CHANGES_TOLD:
        change = CHANGES[name]
        measured = judge_changed(recipe, found, which, change, device) if change else found.measured.take(which)
        logits = fuse_all(calibrated.fusion, measured, np.arange(len(which)))
        probabilities = np.array([calibrated.calibrations["fused"].probability(x) for x in logits.tolist()])
        auroc = float(roc_auc_score(measured.labels, logits))
        told[name] = {
            "auroc": auroc,
            "auroc_lost": told["unchanged"]["auroc"] - auroc if told else 0.0,
            "photographs": int(photographs.sum()),
            "accused": int((probabilities[photographs] > upper).sum()),
            "ai_generated_found": float((probabilities[measured.labels == 1] > upper).mean()),
        }
    return {"images": len(which), "by_change": told}


def aurocs(measured: Measured) -> dict[str, Any]:
    """Order images by each detector's logits, and by their plain sum."""

    def of(logits: NDArray[np.float64]) -> float:
        return float(roc_auc_score(measured.labels, logits))

    return {
        "auroc_by_detector": {name: of(measured.logits[:, column]) for column, name in enumerate(measured.names)},
        "auroc_of_added_logits": of(measured.logits.sum(axis=1)),
    }
