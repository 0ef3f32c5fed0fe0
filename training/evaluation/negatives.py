"""Negatives: photographs and pictures that programs drew, told apart; who is accused is asked of photographs first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from training.evaluation.groups import GROUP_BOOTSTRAPS, LEAST_GROUP, by_group
from training.evaluation.intervals import intervals
from training.evaluation.metrics import Cuts, measure
from worker.decisions.bounds import clopper_pearson_upper

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from training.evaluation.ground_truth import GroundTruth
    from worker.decisions.calibration import Thresholds

PHOTOGRAPHS, DRAWINGS = "photographs", "drawings"
# The generator of charts, screenshots and drawings in a collection; `training.data.assemble` calls those we draw so.
PROGRAM = "program"
_MEASURES = ("wrongly_accused", "false_positive_rate", "coverage")


def kinds_of(truth: GroundTruth) -> NDArray[np.str_]:
    """Name what each negative is, `photographs` or `drawings` (those by a `program`); AI-generated images are ''."""
    kinds = np.where(truth.generators == PROGRAM, DRAWINGS, PHOTOGRAPHS)
    return np.where(truth.labels == 1, "", kinds)


def by_kind(truth: GroundTruth, probabilities: NDArray[np.float64], cuts: Thresholds | Cuts) -> dict[str, Any]:
    """Tell how many photographs are accused, and how many drawings, apart from each other.

    Args:
        truth: N images.
        probabilities: (N,).
        cuts: thresholds of all, or of each.

    Returns:
        By kind that is there: `images`, `accused` (verdict `ai_generated`), `wrongly_accused` (their share) with
        `wrongly_accused_at_most` (Clopper-Pearson, one-sided, 95 %), `false_positive_rate` (at a cut of one half),
        `coverage`, `intervals_95` (of whole sources where there are several), `sources`, and
        `worst_source`, the one accused most.
    """
    kinds, figures = kinds_of(truth), {}
    for kind in (PHOTOGRAPHS, DRAWINGS):
        rows = np.flatnonzero(kinds == kind)
        if not len(rows):
            continue
        labels, own, sources = truth.labels[rows], probabilities[rows], truth.sources[rows]
        ours = cuts.take(rows) if isinstance(cuts, Cuts) else cuts
        clusters = sources if len(np.unique(sources)) > 1 else truth.hashes[rows]
        measured = measure(labels, own, ours)
        drawn = intervals(labels, own, clusters, ours, GROUP_BOOTSTRAPS)
        accused = measured["verdicts"]["ai_generated"]["not_ai_generated"]
        of_source = by_group(labels, own, sources, ours)
        figures[kind] = {
            "images": len(rows),
            "accused": accused,
            **{key: measured[key] for key in _MEASURES},
            "wrongly_accused_at_most": clopper_pearson_upper(accused, len(rows)),
            "intervals_95": {key: drawn[key] for key in _MEASURES if key in drawn},
            "sources": len(of_source),
            "worst_source": _worst({name: _of_source(one) for name, one in of_source.items()}),
        }
    return figures


def _of_source(measured: Mapping[str, Any]) -> dict[str, Any]:
    accused = measured["verdicts"]["ai_generated"]["not_ai_generated"]
    return {
        "images": measured["images"],
        "accused": accused,
        "wrongly_accused": measured["wrongly_accused"],
        "false_positive_rate": measured["false_positive_rate"],
    }


def _worst(by_source: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Name the source accused most, of those large enough to say so; by the cut at one half where verdicts are even."""
    large = {name: one for name, one in by_source.items() if one["images"] >= LEAST_GROUP} or by_source
    name = max(large, key=lambda n: (large[n]["wrongly_accused"], large[n].get("false_positive_rate") or 0.0))
    return {"name": name, **large[name]}
