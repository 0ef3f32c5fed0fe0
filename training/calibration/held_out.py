"""Held out: what detectors gave on held-out images → fusion, calibration, and what the card tells of them.

`training.export.run_bundle` calibrates with it; `training.calibration.held_out_again` does so from a bundle's replay.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from sklearn.metrics import roc_auc_score

from training.calibration.calibrate import calibrate, figures_of
from training.evaluation.evaluate import summarise
from training.export.card import HELD_OUT_IS, measures, weaknesses
from worker.bundles.loaded import Bundle
from worker.decisions.policy import FIRST_RULES

if TYPE_CHECKING:
    from training.calibration.calibrate import CalibrationFit
    from training.calibration.fusion import Measurements
    from training.evaluation.ground_truth import GroundTruth
    from worker.bundles.parts import BundleParts


class HeldOutResult(NamedTuple):
    """A calibrated bundle's parts, and what a card tells of its held-out images, weaknesses apart.

    `by_source` says whether fusion and thresholds were measured source by source, or by content.
    """

    parts: BundleParts
    facts: dict[str, Any]
    weaknesses: list[str]
    by_source: bool


def tell_held_out(parts: BundleParts, truth: GroundTruth, measured: Measurements, device: str = "cpu") -> HeldOutResult:
    """Calibrate a bundle on held-out images and measure them by fits that never saw their source.

    Args:
        parts: whose fusion and calibrations are still to be fitted.
        truth: the images, N of them.
        measured: what the detectors gave on them, in the same order.
        device: a torch device.
    """
    calibrated = calibrate(measured)
    figures = figures_of(measured, calibrated.threshold_probabilities, parts.figures.scope)
    # A detector that was not measured rides along: it keeps its calibration, and does not count.
    fusion = replace(calibrated.fusion, weights={**dict.fromkeys(parts.detectors, 0.0), **calibrated.fusion.weights})
    calibrations = {**parts.calibrations, **calibrated.calibrations}
    parts = replace(parts, fusion=fusion, calibrations=calibrations, figures=figures)
    cuts = calibrated.held_out_cuts(FIRST_RULES.thresholds)
    report = summarise(Bundle(parts, device), truth, calibrated.held_out_probabilities, cuts=cuts)
    return HeldOutResult(parts, _facts(report, measured, calibrated), weaknesses(report), measured.by_source)


def _facts(report: dict[str, Any], measured: Measurements, calibrated: CalibrationFit) -> dict[str, Any]:
    facts = measures(report)
    return {
        "held_out": facts.pop("overall"),
        "held_out_is": HELD_OUT_IS,
        "auroc_by_detector": {
            name: float(roc_auc_score(measured.labels, measured.logits[:, column]))
            for column, name in enumerate(measured.names)
        },
        # Nothing is fitted for it, so nothing of the judged sources is in it, nor a fold's own intercept.
        "auroc_of_added_logits": float(roc_auc_score(measured.labels, measured.logits.sum(axis=1))),
        "auroc_by_inputs": calibrated.auroc_by_inputs,
        **facts,
        "certificate": report["certificate"],
    }
