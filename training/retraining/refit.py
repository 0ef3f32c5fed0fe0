"""Refit: head, fusion and calibration of a bundle fitted again on features that scans have stored; no pixels, no GPU.

The CLIP detector's logit is a linear function of its stored features, so its head is a logistic regression, drawn
towards the head that there was: where labels say nothing, nothing changes. What the base bundle's own run kept of its
held-out images is replayed beside the labels, so that what is known is neither forgotten nor left unjudged.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.optimize import minimize
from sklearn.metrics import roc_auc_score

from training.calibration.calibrate import calibrate, figures_of
from training.calibration.fusion import Measured, grouped
from training.data.collection import DataError
from training.evaluation.curves import curves
from training.evaluation.evaluate import summarise
from training.evaluation.pictures import fingerprint
from training.export.card import code_version, measures, probe, weaknesses
from training.export.run_bundle import shipped_precision
from training.retraining.gate import Compared, Opinion, Origin, Terms, gate
from worker.bundles.card import read_card
from worker.bundles.folder import FUSED, BundleParts
from worker.bundles.loaded import SEEN_BY, Bundle

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

# The head's scales and shifts become part of its linear layer.
_SCALE, _SHIFT, _WEIGHT, _BIAS = "head.0.weight", "head.0.bias", "head.1.weight", "head.1.bias"
_STRENGTHS = (1e-1, 1e-2, 1e-3, 1e-4)
_CHOSEN_ON = 20_000
_STEPS = 200
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
    "held_out_sources",
)
# Of the contents, and at most so many, calibrate; as many again are for the gate. More would make neither surer.
_SHARE, _MOST = 0.25, 8000
_DIGITS = slice(24, 32)


@dataclass(frozen=True)
class Seen:
    """Labelled images as a bundle has seen them, N of them, none twice.

    Attributes:
        features: float16 (N, F), as `ClipDetector.see` gives them.
        others: float64 (N, D), logits of all detectors by the bundle's order; the CLIP detector's is made anew.
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

    def take(self, which: NDArray[Any]) -> Seen:
        """Select by index or mask."""
        return Seen(**{name: value[which] for name, value in vars(self).items()})


@dataclass(frozen=True)
class Head:
    """A linear head on normalised features: (F,) weights and a bias, float32."""

    weight: Floats
    bias: float

    def logits(self, features: NDArray[Any]) -> NDArray[np.float64]:
        """Judge (N, F) features: (N,)."""
        return np.asarray(features.astype(np.float32) @ self.weight + self.bias, dtype=np.float64)


@dataclass(frozen=True)
class RefitPlan:
    """How it was done, in the place of a recipe."""

    base: str
    calibrate_share: float = _SHARE
    most_calibrate: int = _MOST
    strengths: tuple[float, ...] = _STRENGTHS


@dataclass(frozen=True)
class Refitted:
    """What came of it: the new bundle's parts, and the gate's report and evaluation on images left for it."""

    parts: BundleParts
    gate: dict[str, Any]
    evaluation: dict[str, Any]
    plan: RefitPlan


def head_of(parts: BundleParts) -> Head:
    """Read the head of a bundle's CLIP detector.

    Raises:
        DataError: the bundle has none that is linear in its features.
    """
    tensors = parts.detectors[SEEN_BY].tensors if SEEN_BY in parts.detectors else {}
    if not {_SCALE, _SHIFT, _WEIGHT, _BIAS} <= set(tensors):
        raise DataError(f"bundle {parts.version()} has no CLIP head that could be fitted again; train with a recipe")
    scale, shift, weight, bias = (tensors[name].float() for name in (_SCALE, _SHIFT, _WEIGHT, _BIAS))
    return Head((weight[0] * scale).numpy(), float(weight[0] @ shift + bias[0]))


def with_head(parts: BundleParts, head: Head) -> BundleParts:
    """Put a head into a bundle, rounded as bundles ship."""
    clip = parts.detectors[SEEN_BY]
    ones = torch.ones(len(head.weight))
    new = {_SCALE: ones, _SHIFT: torch.zeros_like(ones), _BIAS: torch.tensor([head.bias])}
    tensors = {**clip.tensors, **shipped_precision({**new, _WEIGHT: torch.from_numpy(head.weight)[None]})}
    return replace(parts, detectors={**parts.detectors, SEEN_BY: replace(clip, tensors=tensors)})


def fit_head(features: NDArray[np.float16], labels: NDArray[np.int8], base: Head) -> Head:
    """Fit a head by logistic regression, both classes weighing alike, with a Gaussian prior around the base head.

    Args:
        features: (N, F).
        labels: (N,), both classes among them.
        base: where the prior sits; its strength is chosen on a fifth of at most 20,000 of the images.
    """
    rng = np.random.default_rng(0)
    some = rng.permutation(len(labels))[:_CHOSEN_ON]
    # A fifth of either class: of a few images of one, none might be left to fit on.
    by_class = [some[labels[some] == label] for label in (0, 1)]
    sides = [np.split(rows, [len(rows) // 5]) for rows in by_class]
    judged, fitted = (np.concatenate(side) for side in zip(*sides, strict=True))
    best, strength = -np.inf, _STRENGTHS[0]
    found = base
    for candidate in _STRENGTHS:
        found = _fitted(features[fitted], labels[fitted], base, candidate, start=found)
        loss = _loss(found.logits(features[judged]), labels[judged])
        if -loss > best:
            best, strength = -loss, candidate
    return _fitted(features, labels, base, strength, start=base)


def _fitted(features: NDArray[np.float16], labels: NDArray[np.int8], base: Head, strength: float, start: Head) -> Head:
    x = torch.from_numpy(features.astype(np.float32))  # (N, F)
    y = torch.from_numpy(labels.astype(np.float32))
    positives = float(y.mean())
    weights = torch.where(y == 1, 0.5 / positives, 0.5 / (1.0 - positives)) / len(y)
    origin = torch.from_numpy(np.append(base.weight, np.float32(base.bias)))

    def cost(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        w = torch.from_numpy(flat.astype(np.float32))
        logits = torch.mv(x, w[:-1]) + w[-1]
        moved = w - origin
        moved[-1] = 0.0  # a bias is free
        value = float((weights * torch.nn.functional.softplus(torch.where(y == 1, -logits, logits))).sum())
        error = weights * (torch.sigmoid(logits) - y)
        gradient = torch.cat([torch.mv(x.t(), error), error.sum()[None]]) + strength * moved
        return value + 0.5 * strength * float(moved @ moved), gradient.double().numpy()

    first = np.append(start.weight, start.bias).astype(np.float64)
    found = minimize(cost, first, jac=True, method="L-BFGS-B", options={"maxiter": _STEPS})
    return Head(found.x[:-1].astype(np.float32), float(found.x[-1]))


def _loss(logits: NDArray[np.float64], labels: NDArray[np.int8]) -> float:
    signs = np.where(labels == 1, -1.0, 1.0)
    balanced = np.where(labels == 1, 0.5 / max(labels.mean(), 1e-9), 0.5 / max(1.0 - labels.mean(), 1e-9))
    return float(np.mean(balanced * np.logaddexp(0.0, signs * logits)))


def refit_parts(base: BundleParts, seen: Seen) -> tuple[BundleParts, Seen]:
    """Fit head, fusion and calibrations; gives the new parts, and the images that neither saw.

    Raises:
        DataError: there are too few images, or only one class of them.
    """
    places = np.array([int(text[_DIGITS] or "0", 16) / 2.0**32 for text in seen.hashes.tolist()])
    share = min(_SHARE, _MOST / max(len(seen), 1))
    sides = [places >= 2 * share, places < share, (places >= share) & (places < 2 * share)]
    fitted, calibrating, left = (seen.take(np.flatnonzero(side)) for side in sides)
    for rows, what in ((fitted, "fit on"), (calibrating, "calibrate on")):
        if len(np.unique(rows.labels)) < 2:  # noqa: PLR2004 (two classes)
            raise DataError(f"the {len(rows)} images to {what} are of one class or none; label more of both")
    parts = with_head(base, fit_head(fitted.features, fitted.labels, head_of(base)))
    names = tuple(parts.detectors)
    logits = logits_of(parts, calibrating)
    by_source = Measured(names, logits, calibrating.covariates, calibrating.labels, groups=calibrating.sources)
    measured = grouped(by_source, calibrating.hashes)
    found = calibrate(measured)
    figures = figures_of(measured, found.threshold_probabilities, base.figures.scope)
    return replace(parts, fusion=found.fusion, calibrations=found.calibrations, figures=figures), left


def logits_of(parts: BundleParts, seen: Seen) -> NDArray[np.float64]:
    """Give all detectors' logits of images, (N, D), the CLIP detector's by the head that the parts have."""
    logits = seen.others.copy()
    logits[:, list(parts.detectors).index(SEEN_BY)] = head_of(parts).logits(seen.features)
    return logits


def probabilities_of(parts: BundleParts, seen: Seen) -> NDArray[np.float64]:
    """Give the probabilities that a bundle would, (N,), without running any network."""
    names, calibration = tuple(parts.detectors), parts.calibrations[FUSED]
    fused = (
        parts.fusion.fuse(dict(zip(names, logits, strict=True)), covariates)
        for logits, covariates in zip(logits_of(parts, seen).tolist(), seen.covariates.tolist(), strict=True)
    )
    return np.array([calibration.probability(logit) for logit in fused])


def refit(base: BundleParts, seen: Seen, terms: Terms, card: Mapping[str, Any]) -> Refitted:
    """Fit a bundle again and let the gate compare it with itself as it was.

    Args:
        base: the bundle that saw the images.
        seen: labelled.
        terms: of the gate.
        card: what is told of the run.
    """
    parts, left = refit_parts(base, seen)
    old = Opinion(base.version(), probabilities_of(base, left), base.figures)
    new = Opinion(parts.version(), probabilities_of(parts, left), parts.figures)
    images = Compared(left.labels, left.sources, left.generators, left.hashes, left.origins)
    report = gate(images, old, new, terms, int((seen.origins == Origin.EARLIER).sum()))
    bundle = Bundle(parts)
    evaluation = {
        **summarise(bundle, left, new.probabilities),
        "data": _facts(left),
        "curves": curves(left.labels, new.probabilities),
        "most_wrong": [],
    }
    told_of_it = measures(evaluation)
    told = {
        **{key: value for key, value in base.card.items() if key in _OF_THE_DETECTORS},
        **card,
        "refitted_from": base.version(),
        "same_features_as": [base.version(), *read_card(base.card).same_features_as],
        "held_out": told_of_it.pop("overall"),
        "held_out_is": "images left for the gate, a quarter of the contents at most: no fit has seen them",
        **told_of_it,
        "known_weaknesses": weaknesses(evaluation),
        "auroc_of_head": float(roc_auc_score(left.labels, head_of(parts).logits(left.features)))
        if len(np.unique(left.labels)) > 1
        else None,
        "certificate": evaluation["certificate"],
        "code_version": code_version(),
        "probe": probe(bundle),
    }
    return Refitted(replace(parts, card=told), report, evaluation, RefitPlan(base.version()))


def _facts(seen: Seen) -> dict[str, Any]:
    return {
        "images": len(seen),
        "ai_generated": int(seen.labels.sum()),
        "sources": len(np.unique(seen.sources)),
        "fingerprint_sha256": fingerprint(seen.hashes, seen.labels),
        "parts": {"gate": len(seen)},
        "left_out": {"undecodable": 0, "examples": []},
    }
