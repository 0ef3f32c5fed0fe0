"""Cross-fit: heads on frozen encoders, fitted in five folds for the figures and on everything for what ships.

A head takes a minute, so no source need be kept from the bundle. Each image is judged by heads that were fitted
without its source; fusion, calibration and thresholds come from these logits. The heads that ship saw all sources.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from tqdm import tqdm

from training.calibration.fusion import Measurements, parted
from training.data.assemble import joined, recipe_rows, split
from training.data.authors import by_author
from training.fitting.encoder_features import changed_features, features_of
from training.fitting.encoder_head import LinearHead, fit_linear_head, stored_as, tensors_of
from training.fitting.schedule import sampling_weights
from worker.images.views import quality_covariates

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from training.calibration.fusion import Folds
    from training.data.assemble import Rows
    from training.evaluation.scores import Change
    from training.recipe import DetectorRecipe, Recipe

    Heads = dict[str, LinearHead]

_FOLDS = 5


@dataclass(frozen=True)
class CrossFitted:
    """What cross-fitting gave.

    Attributes:
        rows: all images, N of them.
        measured: the detectors' logits of each, by heads that were fitted without its source; grouped by author.
        folds: of each image, from 0 on, (N,).
        heads: by fold, then by detector.
        tensors: by detector, those of the heads that are fitted on everything.
        features: by detector, what it stores of each image, (N, K): projected, and the head's own direction as heads
            saw it that were fitted without the image's source.
    """

    rows: Rows
    measured: Measurements
    folds: NDArray[np.int64]
    heads: tuple[Heads, ...]
    tensors: dict[str, dict[str, Tensor]]
    features: dict[str, NDArray[np.float16]]


def cross_fit(recipe: Recipe, data: Path, out: Path, device: str = "cpu") -> CrossFitted:
    """Fit every head in folds and on everything.

    Raises:
        AssayError: the data cannot be used, or an encoder is not on this machine.
        ValueError: there are too few sources to be parted.
    """
    rows = _rows(recipe, data, out / "cache")
    groups = by_author(rows.sources)
    parts = balanced(rows.labels, groups)
    folds, heads = np.empty(len(rows), dtype=np.int64), [dict[str, LinearHead]() for _ in parts]
    logits = np.empty((len(rows), len(recipe.detectors)))
    tensors, features = {}, {}
    for column, part in enumerate(recipe.detectors):
        draws = features_of(part, recipe, rows, out / "cache", device)
        for place, (fitted, left_out) in enumerate(parts):
            apart = fitted[~np.isin(rows.hashes[fitted], rows.hashes[left_out])]
            head = _head(recipe, part, draws, rows, apart)
            heads[place][part.name], folds[left_out] = head, place
            logits[left_out, column] = head.logits(draws[0][left_out])
        everything = np.arange(len(rows))
        head, mass = _head(recipe, part, draws, rows, everything), sampling_weights(rows, recipe.emphasis)
        tensors[part.name] = tensors_of(head, draws, mass, int(part.architecture["features"]))
        features[part.name] = stored_as(tensors[part.name], draws[0], logits[:, column])
    names = tuple(part.name for part in recipe.detectors)
    measured = Measurements(names, logits, _covariates(rows), rows.labels, groups, balanced=True)
    return CrossFitted(rows, measured, folds, tuple(heads), tensors, features)


def balanced(labels: NDArray[np.int8], groups: NDArray[np.str_]) -> Folds:
    """Part into (fitted, judged) rows by group, such that every fold has about a fifth of either class.

    The largest group is dealt first, each to the fold that it fills least. Where a fold would lack a class, they are
    dealt as `parted` does.
    """
    totals = np.bincount(labels, minlength=2)
    dealt, fold_of = np.zeros((_FOLDS, 2)), dict[str, int]()
    names, sizes = np.unique(groups, return_counts=True)
    for name in names[np.argsort(-sizes, kind="stable")].tolist():
        counts = np.bincount(labels[groups == name], minlength=2)
        filled = [((dealt + counts * (np.arange(_FOLDS) == k)[:, None]) / totals) ** 2 for k in range(_FOLDS)]
        fold_of[name] = int(np.argmin([part.sum() for part in filled]))
        dealt[fold_of[name]] += counts
    if not dealt.all():
        return parted(labels, groups)
    folds = np.array([fold_of[name] for name in groups.tolist()])
    return [(np.flatnonzero(folds != k), np.flatnonzero(folds == k)) for k in range(_FOLDS)]


def _rows(recipe: Recipe, data: Path, cache: Path) -> Rows:
    """Give all rows but those that are left for the gate."""
    training, held_out = split(recipe_rows(recipe, data, cache), recipe)
    return joined([training, held_out]) if len(held_out) else training


def _head(
    recipe: Recipe,
    part: DetectorRecipe,
    draws: Sequence[NDArray[np.floating]],
    rows: Rows,
    fitted: NDArray[np.int64],
) -> LinearHead:
    some = rows.take(fitted) if len(fitted) < len(rows) else rows
    sys.stderr.write(f"{part.name}: a head on {len(fitted)} images\n")
    weights, chosen = sampling_weights(some, recipe.emphasis), [draw[fitted] for draw in draws]
    return fit_linear_head(chosen, some.labels, weights, part.fit.weight_decay, part.fit.later_draws)


def _covariates(rows: Rows) -> NDArray[np.float64]:
    covariates = [
        quality_covariates(Image.fromarray(pixels)) for pixels in tqdm(rows.pixels, desc="quality", mininterval=5)
    ]
    return np.array(covariates)


def judge_changed(
    recipe: Recipe, cross_fitted: CrossFitted, which: NDArray[np.int64], change: Change, device: str
) -> Measurements:
    """Judge some images again after a change, each by the heads that never saw its source."""
    logits = np.empty((len(which), len(recipe.detectors)))
    pictures = [Image.fromarray(pixels) for pixels in cross_fitted.rows.pixels[which]]
    changed = [change(picture) for picture in pictures]
    for column, part in enumerate(recipe.detectors):
        features = changed_features(part, changed, device)
        for place, heads in enumerate(cross_fitted.heads):
            there = cross_fitted.folds[which] == place
            logits[there, column] = heads[part.name].logits(features[there])
    covariates = np.array([quality_covariates(image) for image in changed])
    few = cross_fitted.measured.take(which)
    return replace(few, logits=logits, covariates=covariates)
