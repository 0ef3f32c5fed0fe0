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
from training.evaluation.curves import curves
from training.evaluation.groups import by_group
from training.evaluation.intervals import intervals
from training.evaluation.metrics import measure
from training.evaluation.negatives import PROGRAM, by_kind
from worker.bundles.card_measures import Change, Changes, Fold, Folds, Measures
from worker.decisions.policy import FIRST_RULES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from training.calibration.calibrate import CalibrationFit
    from training.calibration.fusion import Measurements
    from training.cross_fit import CrossFitted
    from training.evaluation.ground_truth import GroundTruth
    from training.recipe import Recipe


class FoldReport(Folds):
    """What folds gave: all that a card takes of them, whose recipe it was, and each source by itself."""

    recipe: str
    by_source: dict[str, Measures]

    def for_card(self, command: str) -> Folds:
        """Return what a card takes; `command` makes it again."""
        kept = {key: value for key, value in self.document().items() if key not in {"recipe", "by_source"}}
        return Folds.model_validate({**kept, "command": command})


_CHANGED = 600  # images judged again after each change
_CHANGES_TOLD = ("unchanged", "jpeg_75", "webp_75", "resize_0.5", "resize_0.25")


def report_of(recipe: Recipe, cross_fitted: CrossFitted, device: str = "cpu") -> FoldReport:
    """Lay out what cross-fitted heads gave, as `measure_folds` does, and how they stand after each change."""
    measured, rows = cross_fitted.measured, cross_fitted.rows
    nothing = np.empty((len(rows), 0, 0, 3), dtype=np.uint8)
    report = report_of_heads(recipe, measured, replace(rows, pixels=nothing))
    return report.model_copy(update={"changes": _changed(recipe, cross_fitted, device)})


def report_of_heads(recipe: Recipe, measured: Measurements, truth: GroundTruth) -> FoldReport:
    """Lay out what cross-fitted heads gave, all but how they stand after changes of the pixels."""
    facts = [
        Fold(
            sources=np.unique(truth.sources[left_out]).tolist(),
            images=len(left_out),
            **aurocs(measured.take(left_out)),
        )
        for left_out in _of_one_fit(measured)
    ]
    return fold_report(recipe, {part.name: 0.0 for part in recipe.detectors}, facts, measures_of_folds(measured, truth))


def fold_report(
    recipe: Recipe, minutes: dict[str, float], folds: Sequence[Fold], measures: Mapping[str, Any]
) -> FoldReport:
    """Put a report together of each fold's facts and what `measures_of_folds` gave."""
    return FoldReport.model_validate({"recipe": recipe.name, "minutes": minutes, "folds": [*folds], **measures})


def measures_of_folds(together: Measurements, truth: GroundTruth) -> dict[str, Any]:
    """Measure fused and calibrated probabilities of all folds; the images of a fold by fits without their sources."""
    calibrated = calibrate(together)
    cuts = calibrated.held_out_cuts(FIRST_RULES.thresholds)
    outcome = (together.labels, calibrated.held_out_probabilities)
    by_source = by_group(*outcome, truth.sources, cuts)
    fits = _of_one_fit(together) if together.balanced else [part.rows for part in calibrated.left_out]
    ranks = against_photographs(truth, calibrated, fits)
    return {
        **aurocs(together),
        "overall": measure(*outcome, cuts, FIRST_RULES.prior_shift),
        "intervals_95": intervals(*outcome, together.groups, cuts),
        "negatives": by_kind(truth, calibrated.held_out_probabilities, cuts),
        "auroc_by_ai_source": ranks,
        "auroc_mean_over_ai_sources": float(np.mean(list(ranks.values()))) if ranks else None,
        "worst_five_ai_sources": dict(sorted(ranks.items(), key=lambda item: item[1])[:5]),
        "curves": curves(*outcome),
        "thresholds": vars(FIRST_RULES.thresholds(figures_of(together, calibrated.threshold_probabilities, ""))),
        "by_source": by_source,
    }


def _of_one_fit(measured: Measurements) -> list[NDArray[np.int64]]:
    """Part images by the heads that judged them: rows of each fold."""
    return [left_out for _, left_out in balanced(measured.labels, measured.groups)]


def against_photographs(
    truth: GroundTruth, calibrated: CalibrationFit, fits: Sequence[NDArray[np.int64]]
) -> dict[str, float]:
    """Order each AI source's images against all photographs that the same fit judged: AUROC by source.

    Args:
        truth: N images.
        calibrated: their probabilities.
        fits: rows of the images that each fit judged.
    """
    ranks = {}
    for rows in fits:
        labels, sources = truth.labels[rows], truth.sources[rows]
        probabilities = calibrated.threshold_probabilities[rows]
        negatives = probabilities[(labels == 0) & (truth.generators[rows] != PROGRAM)]
        for source in np.unique(sources[labels == 1]).tolist():
            own = probabilities[(labels == 1) & (sources == source)]
            outcome = np.r_[np.zeros(len(negatives)), np.ones(len(own))]
            ranks[source] = float(roc_auc_score(outcome, np.r_[negatives, own]))
    return ranks


def _changed(recipe: Recipe, cross_fitted: CrossFitted, device: str) -> Changes:
    """Judge some images again after each change: AUROC, what it lost, photographs accused, AI pictures found."""
    order = np.lexsort((np.arange(len(cross_fitted.rows)), cross_fitted.rows.labels, cross_fitted.rows.sources))
    count = min(_CHANGED, len(order))
    which = np.sort(order[np.unique(np.linspace(0, len(order) - 1, count).round().astype(np.int64))])
    calibrated = calibrate(cross_fitted.measured)
    figures = figures_of(cross_fitted.measured, calibrated.threshold_probabilities, "")
    upper = FIRST_RULES.thresholds(figures).upper
    photographs = (cross_fitted.rows.labels[which] == 0) & (cross_fitted.rows.generators[which] != PROGRAM)
    by_change: dict[str, Change] = {}
    unchanged = None
    for name in _CHANGES_TOLD:
        change = CHANGES[name]
        measured = (
            judge_changed(recipe, cross_fitted, which, change, device) if change else cross_fitted.measured.take(which)
        )
        logits = fuse_all(calibrated.fusion, measured, np.arange(len(which)))
        probabilities = np.array([calibrated.calibrations["fused"].probability(x) for x in logits.tolist()])
        auroc = float(roc_auc_score(measured.labels, logits))
        unchanged = auroc if unchanged is None else unchanged
        by_change[name] = Change(
            auroc=auroc,
            auroc_lost=unchanged - auroc,
            photographs=int(photographs.sum()),
            accused=int((probabilities[photographs] > upper).sum()),
            ai_generated_found=float((probabilities[measured.labels == 1] > upper).mean()),
        )
    return Changes(images=len(which), by_change=by_change)


def aurocs(measured: Measurements) -> dict[str, Any]:
    """Order images by each detector's logits, and by their plain sum."""

    def of(logits: NDArray[np.float64]) -> float:
        return float(roc_auc_score(measured.labels, logits))

    return {
        "auroc_by_detector": {name: of(measured.logits[:, column]) for column, name in enumerate(measured.names)},
        "auroc_of_added_logits": of(measured.logits.sum(axis=1)),
    }
