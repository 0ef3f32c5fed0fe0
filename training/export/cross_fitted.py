"""Export of cross-fitted heads: figures of five folds, heads of all data → a calibrated bundle with its card.

`training.train` ends with it where every detector of a recipe is a head on a frozen encoder. Calibration, thresholds
and every held-out figure come from logits of heads that never saw the image's source; the heads that ship saw all.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from training.calibration.held_out import tell_held_out
from training.cross_fit import CrossFitted, cross_fit
from training.evaluation.fold_report import report_of
from training.export.card import code_version, data_facts, detector_facts, probe
from training.export.recipe_words import in_own_words, told_of
from training.retraining.refit_data import ReplayRows, write_replay
from worker.bundles.card import FeatureFacts, card_document
from worker.bundles.copies import REPLAY
from worker.bundles.folder import read_bundle, write_bundle
from worker.bundles.loaded import Bundle, shipped_bundle
from worker.bundles.parts import FUSED, BundleParts, DetectorPart
from worker.bundles.stored_features import ENCODER
from worker.decisions.calibration import Calibration, CalibrationFigures, Fusion
from worker.images.views import COVARIATE_NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from training.recipe import Recipe

_CERTIFIES = (
    "The upper threshold's false-positive bound holds for images like the calibration sources' and for no others. "
    "Every image was judged by heads that were fitted without its source; the rates by source show how they differ."
)
_SELECTION = (
    "Every source was left out once, in five folds that part no author. The recipe was chosen between trials on the "
    "same images, so the figures flatter what was kept."
)


def export_cross_fitted(recipe: Recipe, data: Path, out: Path, folder: Path, device: str) -> str:
    """Cross-fit, calibrate and write the bundle; gives its version.

    Detectors that the recipe takes from another bundle ride along with their own calibrations, and do not count.
    """
    cross_fitted = cross_fit(recipe, data, out, device)
    recipe = in_own_words(recipe, data)
    result = tell_held_out(uncalibrated(recipe, cross_fitted), cross_fitted.rows, cross_fitted.measured, device)
    words = told_of(recipe)
    licences = words.get("licences") or words.get("data")
    facts = data_facts(cross_fitted.rows, licences)
    report = report_of(recipe, cross_fitted, device)
    card = {
        **words,
        "detectors": detector_facts(result.parts),
        "detectors_from": dict.fromkeys(_others(recipe), recipe.others_from),
        "training_data": facts,
        "calibration_data": facts,
        "features": _drift_facts(cross_fitted),
        "counted": list(cross_fitted.measured.names),
        "certifies": _CERTIFIES,
        "selection": _SELECTION,
        "held_out_sources": [],
        **result.facts,
        "folds": report.for_card(f"python -m training.folds --recipe {recipe.name} --data DATA --out OUT"),
        "known_weaknesses": [*words["known_weaknesses"], *result.weaknesses],
        "code_version": code_version(),
        "probe": probe(Bundle(result.parts, device)),
    }
    version = write_bundle(replace(result.parts, card=card_document(card)), folder)
    _keep_for_replay(tuple(result.parts.detectors), cross_fitted, version, folder / REPLAY)
    return version


def _keep_for_replay(names: Sequence[str], cross_fitted: CrossFitted, version: str, file: Path) -> None:
    """Keep what refits need: stored features, and logits of heads that never saw the image's source.

    Logits of detectors that ride along are zero: nothing is fitted on them.
    """
    logits = np.zeros((len(cross_fitted.rows), len(names)))
    logits[:, [list(names).index(name) for name in cross_fitted.measured.names]] = cross_fitted.measured.logits
    matrix = np.concatenate([cross_fitted.features[name] for name in cross_fitted.measured.names], axis=1)
    features = [row.tobytes() for row in matrix.astype("<f2")]
    write_replay(file, version, ReplayRows(cross_fitted.rows, features, logits, cross_fitted.measured.covariates))


def _drift_facts(cross_fitted: CrossFitted) -> FeatureFacts:
    """Sum up what detectors store of all images: what drift is measured from."""
    matrix = np.concatenate([cross_fitted.features[name] for name in cross_fitted.measured.names], axis=1).astype(
        np.float64
    )
    mean, deviation = matrix.mean(axis=0).tolist(), matrix.std(axis=0).tolist()
    return FeatureFacts(images=len(matrix), mean=mean, deviation=deviation)


def _others(recipe: Recipe) -> dict[str, DetectorPart]:
    """Give the detectors that ride along: those of the bundle named that stand on no encoder."""
    if not recipe.others_from:
        return {}
    own = {part.name for part in recipe.detectors}
    theirs = read_bundle(shipped_bundle(recipe.others_from)).detectors
    return {name: part for name, part in theirs.items() if name not in own and part.architecture.get("kind") != ENCODER}


def uncalibrated(recipe: Recipe, cross_fitted: CrossFitted) -> BundleParts:
    """Gather heads and the detectors that ride along; fusion and calibrations of the former say nothing yet."""
    others = _others(recipe)
    own = {
        part.name: DetectorPart(part.architecture, part.views, cross_fitted.tensors[part.name])
        for part in recipe.detectors
    }
    detectors = {**others, **own}
    calibrations = dict(read_bundle(shipped_bundle(recipe.others_from)).calibrations) if others else {}
    plain = Calibration("temperature", (1.0,))
    return BundleParts(
        name=recipe.name,
        detectors=detectors,
        fusion=Fusion(dict.fromkeys(detectors, 0.0), ((0.0, 0.0, 1.0),) * len(COVARIATE_NAMES), 0.0),
        calibrations={name: calibrations.get(name, plain) for name in (*detectors, FUSED)},
        figures=CalibrationFigures((), (), recipe.scope),
        card={},
    )
