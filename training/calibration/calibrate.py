"""Calibration of a run: held-out logits → fusion, calibrations and figures, all fitted out of fold.

Every held-out measure on the card comes from a fusion and a calibration that never saw the image's source; nor did the
choice of the fusion's inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from training.calibration.fusion import Measurements, fit_fusion, folds, fuse_all, inputs, left_out, out_of_fold
from training.evaluation.metrics import Cuts, auroc
from worker.decisions.calibration import OVER_SOURCES, Calibration, CalibrationFigures, Fusion

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from training.calibration.fusion import Floats, Folds, Indices, Labels
    from worker.decisions.calibration import Thresholds

PLATT_FROM = 300
BETA_FROM = 2000
_NO_PENALTY = 1e6
_AS_GOOD = 0.01  # of the pairs that the best choice orders wrongly
_LEAST_SLOPE = 0.1
_LEAST_SLOPE_OF_PLATT = 1e-6


@dataclass(frozen=True)
class LeftOut:
    """What a bundle that was fitted on all other groups gives on the images of some, M of them.

    Attributes:
        rows: (M,), which images.
        probabilities: (M,).
        figures: of the groups it was fitted on; its thresholds stand on them.
    """

    rows: Indices
    probabilities: Floats
    figures: CalibrationFigures


@dataclass(frozen=True)
class CalibrationFit:
    """What was fitted, and what it gives on held-out images, N of them.

    Attributes:
        fusion: fitted on all of them.
        calibrations: fitted on all of them, the fused one on out-of-fold logits.
        left_out: each image once, judged without its group: honest measures.
        threshold_probabilities: (N,), from a fusion fitted without the image's group and the calibration that ships, so
            that thresholds lie on the scale that verdicts are given on.
        auroc_by_inputs: how well each choice of inputs to the fusion ordered groups left out: the one that was taken,
            then the others, the best first. Over pairs of images that the same fit judged: fits differ in their
            intercepts, which would count as disorder, more so for the richer choice.
    """

    fusion: Fusion
    calibrations: dict[str, Calibration]
    left_out: tuple[LeftOut, ...]
    threshold_probabilities: Floats
    auroc_by_inputs: dict[str, float]

    @property
    def held_out_probabilities(self) -> Floats:
        """Give each image's probability from a fusion and a calibration that never saw its group, (N,)."""
        return _in_order(self.left_out)

    def held_out_cuts(self, thresholds_of: Callable[[CalibrationFigures], Thresholds]) -> Cuts:
        """Give each image the thresholds that a policy derives from the other groups."""
        lower, upper = (np.empty_like(self.threshold_probabilities) for _ in range(2))
        for part in self.left_out:
            thresholds = thresholds_of(part.figures)
            lower[part.rows], upper[part.rows] = thresholds.lower, thresholds.upper
        return Cuts(lower, upper)


def calibrate(measured: Measurements) -> CalibrationFit:
    """Fit fusion and calibrations on all of it, and again without each group for the figures.

    The fusion's inputs are those that order images of groups left out best; of choices that are as good, the one of
    most detectors: what one of them has never met, another may know; and of these the one that weighs all alike, for
    weights differ from fit to fit and probabilities with them. By loss, quality covariates were kept that cost
    0.04 of AUROC there: they calibrate the sources they know.

    Raises:
        ValueError: the groups cannot be parted; see `folds`.
    """
    with threadpool_limits(limits=1, user_api="blas"):  # fits of so few numbers take three times as long on two threads
        return _calibrate(measured)


def _calibrate(measured: Measurements) -> CalibrationFit:
    parts = folds(measured)
    aurocs = orders(measured, parts)
    name = _best(aurocs)
    chosen = inputs(measured)[name]
    fused = out_of_fold(chosen, parts)
    calibrations = {
        name: fit_calibration(measured.logits[:, column], measured.labels) for column, name in enumerate(measured.names)
    }
    calibrations["fused"] = _fused_calibration(fused, chosen)
    return CalibrationFit(
        fusion=fit_fusion(chosen, np.arange(len(fused))),
        calibrations=calibrations,
        left_out=tuple(_judge_left_out(measured, *part) for part in left_out(measured)),
        threshold_probabilities=_probabilities(calibrations["fused"], fused),
        auroc_by_inputs={name: aurocs[name], **dict(sorted(aurocs.items(), key=lambda item: -item[1]))},
    )


def orders(measured: Measurements, parts: Folds) -> dict[str, float]:
    """Tell how well each choice of inputs orders groups left out: AUROC over pairs that one fit judged, by name.

    The most detectors come first.
    """
    return {
        name: order_within(measured.labels, out_of_fold(chosen, parts), [left_out for _, left_out in parts])
        for name, chosen in inputs(measured).items()
    }


def _best(aurocs: dict[str, float]) -> str:
    best = max(aurocs.values())
    enough = best - _AS_GOOD * (1.0 - best)
    return next(name for name, share in aurocs.items() if share >= enough)


def _judge_left_out(measured: Measurements, fitted: Indices, left_out: Indices) -> LeftOut:
    """Make of some groups all that a bundle has, the choice of inputs too, and judge the others by it."""
    rest = measured.take(fitted)
    within = _folds_within(rest)
    name = _best(orders(rest, within))
    chosen = inputs(rest)[name]
    fused = out_of_fold(chosen, within)
    calibration = _fused_calibration(fused, chosen)
    figures = figures_of(rest, _probabilities(calibration, fused), "")
    chosen = inputs(measured)[name]
    logits = fuse_all(fit_fusion(chosen, fitted), chosen, left_out)
    return LeftOut(left_out, _probabilities(calibration, logits), figures)


def _folds_within(measured: Measurements) -> Folds:
    everything = np.arange(len(measured.labels))
    if measured.balanced:  # nothing is fitted that a fold could tell
        return [(everything, everything)]
    try:
        return folds(measured)
    except ValueError:  # too few groups are left to part them again
        return [(everything, everything)]


def figures_of(measured: Measurements, probabilities: Floats, scope: str) -> CalibrationFigures:
    """Gather what thresholds stand on: probabilities (N,) by class, the negatives by source where there are several."""
    negatives, positives = measured.labels == 0, measured.labels == 1
    sources = measured.groups[negatives].tolist() if measured.by_source else ()
    by_class = (probabilities[negatives].tolist(), probabilities[positives].tolist())
    return CalibrationFigures.of(*by_class, scope, sources, OVER_SOURCES)


def order_within(labels: Labels, logits: Floats, parts: Sequence[Indices]) -> float:
    """Give the share of pairs, of both classes and judged by the same fit, that are in the right order."""
    aurocs = [auroc(labels[rows], logits[rows]) for rows in parts]
    pairs = [int((labels[rows] == 1).sum()) * int((labels[rows] == 0).sum()) for rows in parts]
    return float(np.average(aurocs, weights=pairs))


def _in_order(parts: Sequence[LeftOut]) -> Floats:
    probabilities = np.empty(sum(len(part.rows) for part in parts))
    for part in parts:
        probabilities[part.rows] = part.probabilities
    return probabilities


def _probabilities(calibration: Calibration, logits: Floats) -> Floats:
    return np.array([calibration.probability(logit) for logit in logits.tolist()])


def fit_calibration(logits: Floats, labels: Labels, *, anywhere: bool = False) -> Calibration:
    """Fit as rich a map as the count of images carries: temperature below 300, Platt to 2,000, beta beyond.

    Where nothing was fitted before that puts even odds at 0, they may lie `anywhere`: Platt from the first image on.
    """
    if len(labels) < PLATT_FROM and not anywhere:
        return _temperature(logits, labels)
    if len(labels) < BETA_FROM:
        return _platt(logits, labels)
    return _beta(logits, labels)


def _fused_calibration(fused: Floats, measured: Measurements) -> Calibration:
    """Fit the map from fused logits; of heads that were fitted alike with two numbers, and weighed as they were."""
    if measured.balanced:
        return _platt(fused, measured.labels, measured.masses)
    return fit_calibration(fused, measured.labels, anywhere=measured.alike)


def _balanced(labels: Labels) -> Floats:
    weights: Floats = np.where(labels == 1, 0.5 / max(labels.mean(), 1e-9), 0.5 / max(1.0 - labels.mean(), 1e-9))
    return weights


def _temperature(logits: Floats, labels: Labels) -> Calibration:
    signs, weights = np.where(labels == 1, 1.0, -1.0), _balanced(labels)

    def loss(log_temperature: float) -> float:
        return float(np.mean(weights * np.logaddexp(0.0, -signs * logits / np.exp(log_temperature))))

    best = minimize_scalar(loss, bounds=(-4.0, 4.0), method="bounded")
    return Calibration("temperature", (float(np.exp(best.x)),))


def _platt(logits: Floats, labels: Labels, weights: Floats | None = None) -> Calibration:
    (slope,), intercept = _logistic([logits], labels, weights)
    if slope < _LEAST_SLOPE_OF_PLATT:  # it tells nothing, and the intercept belongs to the slope that is cut off
        return Calibration("platt", (_LEAST_SLOPE_OF_PLATT, 0.0))
    return Calibration("platt", (slope, intercept))


def _beta(logits: Floats, labels: Labels) -> Calibration:
    # The logistic's ln p and -ln(1 - p). Without one of the slopes the map would be flat at one end: no image could
    # reach a high (or a low) probability however sure its logit, so Platt's is taken then.
    (a, b), c = _logistic([-np.logaddexp(0.0, -logits), np.logaddexp(0.0, logits)], labels)
    return Calibration("beta", (a, b, c)) if min(a, b) >= _LEAST_SLOPE else _platt(logits, labels)


def _logistic(columns: Sequence[Floats], labels: Labels, weights: Floats | None = None) -> tuple[list[float], float]:
    model = LogisticRegression(C=_NO_PENALTY, class_weight=None if weights is not None else "balanced", max_iter=1000)
    model.fit(np.stack(columns, axis=1), labels, weights)
    return [float(weight) for weight in model.coef_[0]], float(model.intercept_[0])
