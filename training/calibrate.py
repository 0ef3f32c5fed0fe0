"""Calibration of a run: held-out logits → fusion, calibrations and figures, all fitted out of fold.

Every measure on the card comes from a fusion and a calibration that never saw the image's source.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from worker.calibration import Calibration, CalibrationFigures, Fusion, derive_thresholds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Labels = NDArray[np.int8]

PLATT_FROM = 300
BETA_FROM = 2000
_FOLDS = 5
_NO_PENALTY = 1e6
_LEAST_SLOPE = 0.1


@dataclass(frozen=True)
class Measured:
    """What the detectors gave on held-out images, N of them.

    Attributes:
        names: of the detectors, D of them.
        logits: (N, D).
        covariates: (N, C).
        labels: (N,).
        groups: (N,), what must not be parted between folds: sources, or contents where there is one source.
    """

    names: tuple[str, ...]
    logits: Floats
    covariates: Floats
    labels: Labels
    groups: NDArray[np.str_]


@dataclass(frozen=True)
class Calibrated:
    """What was fitted, and what it gives on held-out images, (N,) each.

    Attributes:
        fusion: fitted on all of them.
        calibrations: fitted on all of them, the fused one on out-of-fold logits.
        held_out_probabilities: from a fusion and a calibration fitted without the image's group: honest measures.
        threshold_probabilities: from a fusion fitted without the image's group and the calibration that ships, so that
            thresholds lie on the scale that verdicts are given on.
    """

    fusion: Fusion
    calibrations: dict[str, Calibration]
    held_out_probabilities: Floats
    threshold_probabilities: Floats


def calibrate(measured: Measured) -> Calibrated:
    """Fit fusion and calibrations on all of it, and out of fold for the figures.

    Covariates are used only where they order images of sources better that the fit has not seen; otherwise their
    weight is zero. (By loss they were kept on data where they cost 0.03 of AUROC: they calibrate a source they know.)
    """
    measured = max((_without_covariates(measured), measured), key=_out_of_fold_auroc)
    fused = _out_of_fold(measured)
    probabilities = np.empty(len(fused))
    for fitted, judged in folds(measured):
        calibration = fit_calibration(fused[fitted], measured.labels[fitted])
        probabilities[judged] = [calibration.probability(logit) for logit in fused[judged].tolist()]
    calibrations = {
        name: fit_calibration(measured.logits[:, column], measured.labels) for column, name in enumerate(measured.names)
    }
    calibrations["fused"] = fit_calibration(fused, measured.labels)
    everything = np.arange(len(fused))
    on_scale = np.array([calibrations["fused"].probability(logit) for logit in fused.tolist()])
    return Calibrated(fit_fusion(measured, everything), calibrations, probabilities, on_scale)


def accused_when_left_out(figures: CalibrationFigures, budget: float = 0.01) -> dict[str, Any] | None:
    """Tell how many negatives of each source a threshold accuses that was made without that source.

    Returns:
        `budget`, `images`, `accused`, `rate`, `by_source` (source to `images` and `rate`); None for one source alone.
    """
    if len(figures.by_source) < 2:  # noqa: PLR2004 (nothing would be left)
        return None
    counts: dict[str, tuple[int, int]] = {}
    for source, own in figures.by_source.items():
        others = {name: of_source for name, of_source in figures.by_source.items() if name != source}
        rest = [probability for of_source in others.values() for probability in of_source]
        named = [name for name, of_source in others.items() for _ in of_source]
        without = CalibrationFigures.of(rest, figures.positives, figures.scope, named)
        upper = derive_thresholds(without, false_positive_budget=budget, miss_budget=0.05).upper
        counts[source] = (len(own), sum(probability > upper for probability in own))
    images, accused = (sum(column) for column in zip(*counts.values(), strict=True))
    by_source = {source: {"images": n, "rate": wrong / n} for source, (n, wrong) in counts.items()}
    return {"budget": budget, "images": images, "accused": accused, "rate": accused / images, "by_source": by_source}


def _out_of_fold(measured: Measured) -> Floats:
    fused = np.empty(len(measured.labels))
    for fitted, judged in folds(measured):
        fused[judged] = _fuse_all(fit_fusion(measured, fitted), measured, judged)
    return fused


def _out_of_fold_auroc(measured: Measured) -> float:
    return float(roc_auc_score(measured.labels, _out_of_fold(measured)))


def _without_covariates(measured: Measured) -> Measured:
    return replace(measured, covariates=np.zeros_like(measured.covariates))


def folds(measured: Measured) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Part into (fitted, judged) rows by group, with both classes on either side; the most folds that allow it.

    Raises:
        ValueError: even two folds leave a side with one class.
    """
    for count in range(min(_FOLDS, len(np.unique(measured.groups))), 1, -1):
        for seed in range(20):
            splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
            parts = list(splitter.split(measured.logits, measured.labels, measured.groups))
            if all(len(np.unique(measured.labels[side])) > 1 for part in parts for side in part):
                yield from parts
                return
    message = "the held-out groups cannot be parted so that both classes are on either side: hold out more sources"
    raise ValueError(message)


def fit_fusion(measured: Measured, rows: NDArray[np.int64]) -> Fusion:
    """Fit logistic stacking on some rows; a detector that would count against itself is left at zero."""
    names, labels = list(measured.names), measured.labels[rows]
    means, spreads = measured.covariates[rows].mean(axis=0), measured.covariates[rows].std(axis=0) + 1e-6
    standard = np.clip((measured.covariates[rows] - means) / spreads, -3.0, 3.0)
    used = np.arange(len(names))
    while True:
        logits = measured.logits[rows][:, used]
        model = LogisticRegression(C=1.0, class_weight="balanced", max_iter=1000)
        model.fit(np.hstack([logits, standard]), labels)
        weights = model.coef_[0]
        counts_for = weights[: len(used)] >= 0
        if counts_for.all() or len(used) == 1:
            break
        used = used[counts_for] if counts_for.any() else used[:1]
    by_name = dict.fromkeys(names, 0.0) | {names[c]: max(0.0, float(w)) for c, w in zip(used, weights, strict=False)}
    tail = weights[len(used) :]
    covariates = tuple((float(w), float(m), float(s)) for w, m, s in zip(tail, means, spreads, strict=True))
    return Fusion(by_name, covariates, float(model.intercept_[0]))


def _fuse_all(fusion: Fusion, measured: Measured, rows: NDArray[np.int64]) -> list[float]:
    return [
        fusion.fuse(dict(zip(measured.names, logits, strict=True)), covariates)
        for logits, covariates in zip(measured.logits[rows].tolist(), measured.covariates[rows].tolist(), strict=True)
    ]


def fit_calibration(logits: Floats, labels: Labels) -> Calibration:
    """Fit as rich a map as the count of images carries: temperature below 300, Platt to 2,000, beta beyond."""
    if len(labels) < PLATT_FROM:
        return _temperature(logits, labels)
    if len(labels) < BETA_FROM:
        return _platt(logits, labels)
    return _beta(logits, labels)


def _balanced(labels: Labels) -> Floats:
    weights: Floats = np.where(labels == 1, 0.5 / max(labels.mean(), 1e-9), 0.5 / max(1.0 - labels.mean(), 1e-9))
    return weights


def _temperature(logits: Floats, labels: Labels) -> Calibration:
    signs, weights = np.where(labels == 1, 1.0, -1.0), _balanced(labels)

    def loss(log_temperature: float) -> float:
        return float(np.mean(weights * np.logaddexp(0.0, -signs * logits / np.exp(log_temperature))))

    best = minimize_scalar(loss, bounds=(-4.0, 4.0), method="bounded")
    return Calibration("temperature", (float(np.exp(best.x)),))


def _platt(logits: Floats, labels: Labels) -> Calibration:
    slope, intercept = _logistic([logits], labels)
    return Calibration("platt", (max(slope[0], 1e-6), intercept))


def _beta(logits: Floats, labels: Labels) -> Calibration:
    # The logistic's ln p and -ln(1 - p). Without one of the slopes the map would be flat at one end: no image could
    # reach a high (or a low) probability however sure its logit, so Platt's is taken then.
    (a, b), c = _logistic([-np.logaddexp(0.0, -logits), np.logaddexp(0.0, logits)], labels)
    return Calibration("beta", (a, b, c)) if min(a, b) >= _LEAST_SLOPE else _platt(logits, labels)


def _logistic(columns: Sequence[Floats], labels: Labels) -> tuple[list[float], float]:
    model = LogisticRegression(C=_NO_PENALTY, class_weight="balanced", max_iter=1000)
    model.fit(np.stack(columns, axis=1), labels)
    return [float(weight) for weight in model.coef_[0]], float(model.intercept_[0])
