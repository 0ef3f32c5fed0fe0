"""Wrapped bundles: published networks and a user's labelled images → a calibrated bundle with its card.

A network without a head of one or two logits gets a linear one, fitted on a third of the images; fusion, calibration
and thresholds are fitted on the rest, by source where both classes allow it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.preprocessing import StandardScaler

from training.calibration.calibrate import calibrate, figures_of
from training.calibration.fusion import Measurements, folds
from training.evaluation.changes import robustness
from training.evaluation.evaluate import summarise
from training.evaluation.pictures import some
from training.evaluation.scores import judge_pictures
from training.export.card import HELD_OUT_IS, code_version, data_facts, detector_facts, measures, probe, weaknesses
from training.export.published_networks import NetworkError, lacks_head, with_head
from training.export.rounding import shipped_precision
from worker.bundles.card import card_document
from worker.bundles.folder import write_bundle
from worker.bundles.loaded import Bundle
from worker.bundles.parts import FUSED, BundleParts, DetectorPart
from worker.bundles.scores import NotFiniteError
from worker.decisions.calibration import Calibration, CalibrationFigures, Fusion
from worker.decisions.policy import FIRST_RULES
from worker.detectors.wrapped import WrappedNetwork
from worker.images.views import COVARIATE_NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from training.evaluation.pictures import Pictures
    from training.evaluation.scores import ImageScores

LEAST_IMAGES = 40  # of each class, to fit anything at all
_HEAD_PARTS = 3
_HEAD_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


@dataclass(frozen=True)
class Wrapping:
    """What a bundle is to be made of.

    Attributes:
        name: of the bundle.
        detectors: by name, as `training.export.published_networks` opened them.
        origins: where each came from, by name, for the card.
        scope: in words, which images the calibration images stand for.
        licences: of networks and images, in words.
        robustness_images: how many images are judged again under changes, for the card.
    """

    name: str
    detectors: Mapping[str, DetectorPart]
    origins: Mapping[str, str]
    scope: str
    licences: str
    robustness_images: int = 500


def build_wrapped(wrapping: Wrapping, pictures: Pictures, folder: Path, device: str) -> str:
    """Fit what is missing, calibrate, measure and write; gives the version.

    Raises:
        NetworkError: the images are too few, or a detector sees nothing in them.
        BundleError: the name is none.
    """
    _check(pictures)
    detectors = {name: rounded(part) for name, part in wrapping.detectors.items()}
    headless = [name for name, part in detectors.items() if lacks_head(part)]
    if headless:
        fitted, pictures = part_off(pictures)
        for name in headless:
            detectors[name] = rounded(fit_head(name, detectors[name], fitted, device))
    parts = _uncalibrated(wrapping, detectors)
    scores = _judge_finite(Bundle(parts, device), pictures)
    turned = _turned(scores, pictures)
    if turned:
        parts = _uncalibrated(wrapping, _with_signs(parts.detectors, turned))
        scores = replace(scores, logits=scores.logits * [-1 if name in turned else 1 for name in scores.names])
    sound = pictures.take(scores.rows)
    measured = _measured(scores, sound)
    calibrated = calibrate(measured)
    figures = figures_of(measured, calibrated.threshold_probabilities, wrapping.scope)
    parts = replace(parts, fusion=calibrated.fusion, calibrations=calibrated.calibrations, figures=figures)
    bundle = Bundle(parts, device)
    bundle.warm_up(2)
    cuts = calibrated.held_out_cuts(FIRST_RULES.thresholds)
    report = summarise(bundle, sound, calibrated.held_out_probabilities, cuts=cuts)
    report |= _robustness(bundle, sound, wrapping.robustness_images, report["thresholds"])
    report["auroc_by_inputs"] = calibrated.auroc_by_inputs
    card = _card(wrapping, parts, report, by_source=measured.by_source, fitted_heads=headless, turned=turned)
    card |= {"calibration_data": data_facts(sound, wrapping.licences), "probe": probe(bundle)}
    if headless:
        card["head_data"] = data_facts(fitted, wrapping.licences)
    return write_bundle(replace(parts, card=card_document(card)), folder)


def _judge_finite(bundle: Bundle, pictures: Pictures) -> ImageScores:
    try:
        return judge_pictures(bundle, pictures, what="calibrate")
    except NotFiniteError as error:
        raise NetworkError("the networks give logits that are not finite in half precision; use others") from error


def _robustness(bundle: Bundle, sound: Pictures, most: int, thresholds: dict[str, float]) -> dict[str, Any]:
    if not most:
        return {}
    return {"robustness": robustness(bundle, some(sound, most), len(sound), thresholds, lambda p: p)}


def _check(pictures: Pictures) -> None:
    counts = np.bincount(pictures.labels, minlength=2)
    if counts.min() < LEAST_IMAGES:
        raise NetworkError(
            f"there are {counts[0]} images that are not AI-generated and {counts[1]} that are; calibration wants at "
            f"least {LEAST_IMAGES} of each, and a budget of 1 % is certified by 299 of the first"
        )


def rounded(part: DetectorPart) -> DetectorPart:
    """Round weights to half precision, as they are stored, so that what is measured is what ships."""
    return replace(part, tensors=shipped_precision(dict(part.tensors)))


def part_off(pictures: Pictures) -> tuple[Pictures, Pictures]:
    """Part off a third for fitting heads, whole sources where both classes are then on either side."""
    for groups in (pictures.sources, pictures.hashes):
        if len(np.unique(groups)) < _HEAD_PARTS:
            continue
        parts = StratifiedGroupKFold(_HEAD_PARTS, shuffle=True, random_state=0).split(groups, pictures.labels, groups)
        for kept, fitted in parts:
            head = pictures.take(np.sort(fitted))
            # The same bytes may lie in a source of either side.
            unseen = np.sort(kept)[~np.isin(pictures.hashes[np.sort(kept)], head.hashes)]
            sides = (head, pictures.take(unseen))
            if all(np.bincount(side.labels, minlength=2).min() >= LEAST_IMAGES / _HEAD_PARTS for side in sides):
                return sides
    raise NetworkError(
        "the images cannot be parted into some for the head and some for calibration; give more, or --head"
    )


def fit_head(name: str, part: DetectorPart, pictures: Pictures, device: str) -> DetectorPart:
    """Fit a regularised logistic head on the network's features, its strength chosen by cross-validation."""
    features, labels = _features(name, part, pictures, device)
    scaler = StandardScaler().fit(features)
    model = LogisticRegressionCV(
        Cs=list(_HEAD_STRENGTHS),
        cv=3,
        class_weight="balanced",
        scoring="neg_log_loss",
        max_iter=2000,
        l1_ratios=(0.0,),
        use_legacy_attributes=False,
    ).fit(scaler.transform(features), labels)
    # The scaling goes into the weights, so that the head reads the features as they come.
    weight = model.coef_ / scaler.scale_  # (1, F)
    bias = model.intercept_ - weight @ scaler.mean_  # (1,)
    return with_head(part, torch.tensor(weight, dtype=torch.float32), torch.tensor(bias, dtype=torch.float32))


def _features(
    name: str, part: DetectorPart, pictures: Pictures, device: str
) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Take the mean feature over each picture's views, through the bundle's own preparation: (N, F) and (N,)."""
    bundle = Bundle(_uncalibrated(Wrapping("features", {}, {}, "", ""), {name: part}), device)
    network = bundle.detector(name).network
    assert isinstance(network, WrappedNetwork)  # noqa: S101 (the only kind that lacks a head)
    caught: list[torch.Tensor] = []
    # The head's input is what the features are; the bundle averages logits over views, which are linear in them.
    hook = network.head.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0].cpu()))
    try:
        scores = judge_pictures(bundle, pictures, what=f"features of {name}")
    finally:
        hook.remove()
    of_views = torch.cat(caught).double()  # (N·V, F)
    features = of_views.view(len(scores.rows), part.plan.count, -1).mean(dim=1).numpy()
    return features, pictures.labels[scores.rows]


def _uncalibrated(wrapping: Wrapping, detectors: Mapping[str, DetectorPart]) -> BundleParts:
    return BundleParts(
        name=wrapping.name,
        detectors=detectors,
        fusion=Fusion(dict.fromkeys(detectors, 1.0), ((0.0, 0.0, 1.0),) * len(COVARIATE_NAMES), 0.0),
        calibrations=dict.fromkeys((*detectors, FUSED), Calibration("temperature", (1.0,))),
        figures=CalibrationFigures((), (), wrapping.scope),
        card={},
    )


def _turned(scores: ImageScores, pictures: Pictures) -> list[str]:
    """Name the detectors whose logit rises for photographs: their authors count the classes the other way round."""
    labels = pictures.labels[scores.rows] == 1
    turned = []
    for column, name in enumerate(scores.names):
        logits = scores.logits[:, column]
        if np.median(logits[labels]) < np.median(logits[~labels]):
            turned.append(name)
            sys.stderr.write(f"{name}: higher logits are photographs here; it is turned round\n")
    return turned


def _with_signs(detectors: Mapping[str, DetectorPart], turned: list[str]) -> dict[str, DetectorPart]:
    return {
        name: replace(part, architecture={**part.architecture, "sign": -part.architecture["sign"]})
        if name in turned
        else part
        for name, part in detectors.items()
    }


def _measured(scores: ImageScores, sound: Pictures) -> Measurements:
    """Group by source if the folds can be made so, else by content."""
    for groups in (sound.sources, sound.hashes):
        by_source = groups is sound.sources
        measured = Measurements(scores.names, scores.logits, scores.covariates, sound.labels, groups, by_source)
        try:
            list(folds(measured))
        except ValueError:
            continue
        return measured
    raise NetworkError("the images cannot be parted into folds with both classes; give more of them")


def _card(
    wrapping: Wrapping,
    parts: BundleParts,
    report: dict[str, Any],
    *,
    by_source: bool,
    fitted_heads: list[str],
    turned: list[str],
) -> dict[str, Any]:
    facts = measures(report)
    notes = [] if by_source else ["calibrated on folds by content: it says nothing of sources that are not in the data"]
    return {
        "title": f"{wrapping.name}: published networks, calibrated on own images",
        "scope": wrapping.scope,
        "detectors": detector_facts(parts),
        "origins": dict(wrapping.origins),
        "training_data": {"images": None, "licences": wrapping.licences, "said_by": "the networks' authors, if anyone"},
        "heads_fitted_here": fitted_heads,
        "turned_round": turned,
        "fitted_in_folds": "by source" if by_source else "by content",
        "certifies": "The upper threshold's false-positive bound holds for images like the calibration images'.",
        "held_out": facts.pop("overall"),
        "held_out_is": HELD_OUT_IS,
        "auroc_by_inputs": report["auroc_by_inputs"],
        **facts,
        "certificate": report["certificate"],
        "known_weaknesses": [*notes, *weaknesses(report)],
        "code_version": code_version(),
    }
