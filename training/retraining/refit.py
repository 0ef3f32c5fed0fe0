"""Refit: head, fusion and calibration of a bundle fitted again on features that scans have stored; no pixels, no GPU.

The logit of an encoder detector, or else of the CLIP detector, is a linear function of its stored features. So its
head is a logistic regression, drawn towards the head that there was: where labels say nothing, nothing changes. What
the base bundle's own run kept of its held-out images is replayed beside the labels, so that what is known is neither
forgotten nor left unjudged.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import compress
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import roc_auc_score

from training.calibration.calibrate import calibrate, figures_of
from training.calibration.fusion import Measurements, grouped
from training.data.collection import DataError
from training.evaluation.curves import curves
from training.evaluation.evaluate import summarise
from training.evaluation.pictures import fingerprint
from training.export.card import code_version, measures, probe, weaknesses
from training.retraining.gate import gate
from training.retraining.gate_case import ComparedImages, Opinion, Origin, Terms
from training.retraining.heads import STRENGTHS, features_by_detector, fit_head, head_of, with_head
from worker.bundles.card import card_document, read_card
from worker.bundles.loaded import Bundle
from worker.bundles.parts import FUSED, BundleParts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

# What a base's card says of weights that stay; what it measured was another bundle.
_OF_THE_DETECTORS = (
    "title",
    "data",
    "tried",
    "licences",
    "origins",
    "scope",
    "smoke",
    "detectors",
    "training_data",
    "features",
    "counted",
    "held_out_sources",
)
# Of the contents, and at most so many, calibrate; as many again are for the gate. More would make neither surer.
_SHARE, _MOST = 0.25, 8000
_DIGITS = slice(24, 32)


@dataclass(frozen=True)
class Samples:
    """Labelled images as a bundle has seen them, N of them, none twice.

    Attributes:
        features: float16 (N, F), as the bundle stores them, one detector's beside the other's.
        others: float64 (N, D), logits of all detectors by the bundle's order; those with features are made anew.
        covariates: float64 (N, C).
        labels: int8 (N,).
        sources, generators, hashes: text (N,).
        origins: text (N,), values of `Origin`.
    """

    features: NDArray[np.float16]
    others: NDArray[np.float64]
    covariates: NDArray[np.float64]
    labels: NDArray[np.int8]
    sources: NDArray[np.str_]
    generators: NDArray[np.str_]
    hashes: NDArray[np.str_]
    origins: NDArray[np.str_]

    def __len__(self) -> int:
        """Count the images."""
        return len(self.labels)

    def take(self, which: NDArray[Any]) -> Samples:
        """Select by index or mask."""
        return Samples(**{name: value[which] for name, value in vars(self).items()})


@dataclass(frozen=True)
class RefitPlan:
    """How it was done, in the place of a recipe."""

    base: str
    calibrate_share: float = _SHARE
    most_calibrate: int = _MOST
    strengths: tuple[float, ...] = STRENGTHS


@dataclass(frozen=True)
class RefitResult:
    """What came of it: the new bundle's parts, and the gate's report and evaluation on images left for it."""

    parts: BundleParts
    gate: dict[str, Any]
    evaluation: dict[str, Any]
    plan: RefitPlan


def refit_parts(base: BundleParts, samples: Samples) -> tuple[BundleParts, Samples]:
    """Fit head, fusion and calibrations; gives the new parts, and the images that neither saw.

    Raises:
        DataError: there are too few images, or only one class of them.
    """
    places = np.array([int(text[_DIGITS] or "0", 16) / 2.0**32 for text in samples.hashes.tolist()])
    share = min(_SHARE, _MOST / max(len(samples), 1))
    sides = [places >= 2 * share, places < share, (places >= share) & (places < 2 * share)]
    fitted, calibrating, left = (samples.take(np.flatnonzero(side)) for side in sides)
    for rows, what in ((fitted, "fit on"), (calibrating, "calibrate on")):
        if len(np.unique(rows.labels)) < 2:  # noqa: PLR2004 (two classes)
            raise DataError(f"the {len(rows)} images to {what} are of one class or none; label more of both")
    parts = base
    for name, features in features_by_detector(base, fitted.features).items():
        parts = with_head(parts, fit_head(features, fitted.labels, head_of(base, name)), name)
    # What rides along has no logits in a replay: it keeps its calibration, and does not count.
    card = read_card(base.card)
    counted = card.votes(parts.detectors)
    names = tuple(compress(parts.detectors, counted))
    logits = logits_of(parts, calibrating)[:, counted]
    by_source = Measurements(
        names,
        logits,
        calibrating.covariates,
        calibrating.labels,
        groups=calibrating.sources,
        balanced=card.is_cross_fitted,
    )
    measured = grouped(by_source, calibrating.hashes)
    calibrated = calibrate(measured)
    figures = figures_of(measured, calibrated.threshold_probabilities, base.figures.scope)
    fusion = replace(calibrated.fusion, weights={**dict.fromkeys(parts.detectors, 0.0), **calibrated.fusion.weights})
    calibrations = {**parts.calibrations, **calibrated.calibrations}
    return replace(parts, fusion=fusion, calibrations=calibrations, figures=figures), left


def logits_of(parts: BundleParts, samples: Samples) -> NDArray[np.float64]:
    """Give all detectors' logits of images, (N, D), those with stored features by the heads that the parts have."""
    logits = samples.others.copy()
    for name, features in features_by_detector(parts, samples.features).items():
        logits[:, list(parts.detectors).index(name)] = head_of(parts, name).logits(features)
    return logits


def _summed(parts: BundleParts, samples: Samples) -> NDArray[np.float64]:
    """Add the logits of the detectors whose heads were fitted: (N,)."""
    by_detector = features_by_detector(parts, samples.features)
    summed: NDArray[np.float64] = np.sum(
        [head_of(parts, name).logits(features) for name, features in by_detector.items()], axis=0
    )
    return summed


def probabilities_of(parts: BundleParts, samples: Samples) -> NDArray[np.float64]:
    """Give the probabilities that a bundle would, (N,), without running any network."""
    names, calibration = tuple(parts.detectors), parts.calibrations[FUSED]
    fused = (
        parts.fusion.fuse(dict(zip(names, logits, strict=True)), covariates)
        for logits, covariates in zip(logits_of(parts, samples).tolist(), samples.covariates.tolist(), strict=True)
    )
    return np.array([calibration.probability(logit) for logit in fused])


def refit(base: BundleParts, samples: Samples, terms: Terms, card: Mapping[str, Any]) -> RefitResult:
    """Fit a bundle again and let the gate compare it with itself as it was.

    Args:
        base: the bundle that saw the images.
        samples: labelled images.
        terms: of the gate.
        card: what is told of the run.
    """
    parts, left = refit_parts(base, samples)
    old = Opinion(base.version(), probabilities_of(base, left), base.figures)
    new = Opinion(parts.version(), probabilities_of(parts, left), parts.figures)
    images = ComparedImages(left.labels, left.sources, left.generators, left.hashes, left.origins)
    report = gate(images, old, new, terms, int((samples.origins == Origin.EARLIER).sum()))
    bundle = Bundle(parts)
    evaluation = {
        **summarise(bundle, left, new.probabilities),
        "data": _facts(left),
        "curves": curves(left.labels, new.probabilities),
        "most_wrong": [],
    }
    figures = measures(evaluation)
    entries = {
        **{key: value for key, value in base.card.items() if key in _OF_THE_DETECTORS},
        **card,
        "refitted_from": base.version(),
        "same_features_as": [base.version(), *read_card(base.card).same_features_as],
        "held_out": figures.pop("overall"),
        "held_out_is": "images left for the gate, a quarter of the contents at most: no fit has seen them",
        **figures,
        "known_weaknesses": weaknesses(evaluation),
        "auroc_of_head": float(roc_auc_score(left.labels, _summed(parts, left)))
        if len(np.unique(left.labels)) > 1
        else None,
        "certificate": evaluation["certificate"],
        "code_version": code_version(),
        "probe": probe(bundle),
    }
    return RefitResult(replace(parts, card=card_document(entries)), report, evaluation, RefitPlan(base.version()))


def _facts(samples: Samples) -> dict[str, Any]:
    return {
        "images": len(samples),
        "ai_generated": int(samples.labels.sum()),
        "sources": len(np.unique(samples.sources)),
        "fingerprint_sha256": fingerprint(samples.hashes, samples.labels),
        "parts": {"gate": len(samples)},
        "left_out": {"undecodable": 0, "examples": []},
    }
