"""Fusion of a run: held-out logits → their mean, or logistic stacking, fitted in folds that part no source.

The inputs to choose from are the detectors' logits, together or alone, counted alike or weighed, with or without the
quality covariates.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from training.data.collection import DataError
from worker.decisions.calibration import Fusion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Labels = NDArray[np.int8]
    Indices = NDArray[np.int64]
    Folds = Sequence[tuple[Indices, Indices]]

_FOLDS = 5
_MOST_ALONE = 300  # sources that are left out one by one


class TooFewGroupsError(DataError, ValueError):
    """The held-out images cannot be parted into folds with both classes; hold out more."""


@dataclass(frozen=True)
class Measurements:
    """What the detectors gave on held-out images, N of them.

    Attributes:
        names: of the detectors, D of them.
        logits: (N, D).
        covariates: (N, C).
        labels: (N,).
        groups: (N,), what must not be parted between folds.
        by_source: the groups are sources; else they are contents, there being one source.
        alike: the detectors whose logits are not all zero are to count alike, and nothing is fitted.
        balanced: the detectors are heads that weighed classes alike and sources by the root of their size: all of them
            count alike, and calibration weighs as they did.
    """

    names: tuple[str, ...]
    logits: Floats
    covariates: Floats
    labels: Labels
    groups: NDArray[np.str_]
    by_source: bool = True
    alike: bool = False
    balanced: bool = False

    def take(self, rows: Indices) -> Measurements:
        """Select images by index."""
        parts = (self.logits[rows], self.covariates[rows], self.labels[rows], self.groups[rows])
        return Measurements(self.names, *parts, self.by_source, self.alike, self.balanced)

    @property
    def masses(self) -> Floats:
        """Weigh images so that classes count alike and a source by the root of its size: (N,), 1 on average."""
        weights = np.zeros(len(self.labels))
        for label in (0, 1):
            of_label = self.labels == label
            _, place, counts = np.unique(self.groups[of_label], return_inverse=True, return_counts=True)
            raw = 1.0 / np.sqrt(counts)[place]
            weights[of_label] = 0.5 * raw / raw.sum()
        return weights * len(self.labels)


def inputs(measured: Measurements) -> dict[str, Measurements]:
    """Name every choice of inputs, the most detectors first; what is not chosen is zero, so its weight will be.

    Logits that count alike come before the same weighed: weights of a few sources are these sources' as much as the
    detectors', and every fold has others. One logit by itself has nothing to be weighed against. Heads that were
    fitted alike leave no choice.
    """
    if measured.balanced:
        plain = replace(measured, covariates=np.zeros_like(measured.covariates), alike=True)
        return {f"{' + '.join(measured.names)}, alike": plain}
    candidates = {}
    for count in range(len(measured.names), 0, -1):
        for used in combinations(measured.names, count):
            logits = np.where(np.isin(measured.names, used), measured.logits, 0.0)
            some = replace(measured, logits=logits)
            plain = replace(some, covariates=np.zeros_like(measured.covariates))
            if count > 1:
                candidates[f"{' + '.join(used)}, alike"] = replace(plain, alike=True)
            candidates[" + ".join(used)] = replace(plain, alike=count == 1)
            candidates[" + ".join((*used, "quality"))] = some
    return candidates


def folds(measured: Measurements) -> Folds:
    """Part into (fitted, judged) rows by group, with both classes on either side; the most folds that allow it.

    Raises:
        TooFewGroupsError: even two folds leave a side with one class.
    """
    return parted(measured.labels, measured.groups)


def parted(labels: Labels, groups: NDArray[np.str_]) -> Folds:
    """Do as `folds`, for labels (N,) and groups (N,) alone: it can be told before there is anything to fuse.

    Raises:
        TooFewGroupsError: even two folds leave a side with one class.
    """
    most = min(_FOLDS, len(np.unique(groups)), int(np.bincount(labels, minlength=2).min()))
    for count in range(most, 1, -1):
        for seed in range(20):
            splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
            parts = list(splitter.split(labels, labels, groups))
            if all(len(np.unique(labels[side])) > 1 for part in parts for side in part):
                return parts
    raise TooFewGroupsError(
        f"the {len(labels)} held-out images cannot be parted so that both classes are on either side: hold out more "
        "sources, or a larger held_out_share"
    )


def left_out(measured: Measurements) -> Folds:
    """Part as `folds` does; where few numbers are fitted, on heads that were fitted alike, each source by itself.

    A map that was fitted on four sources of five bends towards them, and differs by the fold.
    """
    names, of_group = np.unique(measured.groups, return_inverse=True)
    counts = np.stack([np.bincount(of_group[measured.labels == label], minlength=len(names)) for label in (0, 1)])
    alone = measured.balanced and measured.by_source and 1 < len(names) <= _MOST_ALONE
    if not alone or (counts == counts.sum(axis=1, keepdims=True)).any():  # a source has all of a class
        return folds(measured)
    return [(np.flatnonzero(of_group != one), np.flatnonzero(of_group == one)) for one in range(len(names))]


def by_source_or_content(labels: Labels, sources: NDArray[np.str_], hashes: NDArray[np.str_]) -> NDArray[np.str_]:
    """Give the groups to part by, (N,): sources where they can be parted, else contents."""
    try:
        parted(labels, sources)
    except TooFewGroupsError:
        return hashes
    return sources


def grouped(measured: Measurements, hashes: NDArray[np.str_]) -> Measurements:
    """Give it as it is where its groups can be parted, else grouped by contents, `hashes` (N,)."""
    groups = by_source_or_content(measured.labels, measured.groups, hashes)
    return replace(measured, groups=groups, by_source=groups is measured.groups)


def out_of_fold(measured: Measurements, parts: Folds) -> Floats:
    """Fuse each image by a fit without its group: (N,) logits."""
    fused = np.empty(len(measured.labels))
    for fitted, left_out in parts:
        fused[left_out] = fuse_all(fit_fusion(measured, fitted), measured, left_out)
    return fused


def fit_fusion(measured: Measurements, rows: Indices) -> Fusion:
    """Fit logistic stacking on some rows; a detector that would count against itself is left at zero.

    Where the detectors count alike it is their mean, whatever the rows.
    """
    if measured.alike:
        there = measured.logits.any(axis=0)
        weights = (there / max(1, there.sum())).tolist()
        nothing = ((0.0, 0.0, 1.0),) * measured.covariates.shape[1]
        return Fusion(dict(zip(measured.names, weights, strict=True)), nothing, 0.0)
    names, labels = list(measured.names), measured.labels[rows]
    means, spreads = measured.covariates[rows].mean(axis=0), measured.covariates[rows].std(axis=0) + 1e-6
    standard = np.clip((measured.covariates[rows] - means) / spreads, -3.0, 3.0)
    used = np.arange(len(names))
    while True:
        weights, bias = _balanced_logistic(np.hstack([measured.logits[rows][:, used], standard]), labels)
        counts_for = weights[: len(used)] >= 0
        if counts_for.all():
            break
        used = used[counts_for]  # and fit again: the bias belongs to the weights it was fitted with
    by_name = dict.fromkeys(names, 0.0) | {names[c]: float(w) for c, w in zip(used, weights, strict=False)}
    tail = weights[len(used) :]
    covariates = tuple((float(w), float(m), float(s)) for w, m, s in zip(tail, means, spreads, strict=True))
    return Fusion(by_name, covariates, bias)


def _balanced_logistic(columns: Floats, labels: Labels) -> tuple[Floats, float]:
    if not columns.any():
        return np.zeros(columns.shape[1]), 0.0
    model = LogisticRegression(C=1.0, class_weight="balanced", max_iter=1000).fit(columns, labels)
    return model.coef_[0], float(model.intercept_[0])


def fuse_all(fusion: Fusion, measured: Measurements, rows: Indices) -> Floats:
    """Fuse some images: (M,) logits."""
    fused = [
        fusion.fuse(dict(zip(measured.names, logits, strict=True)), covariates)
        for logits, covariates in zip(measured.logits[rows].tolist(), measured.covariates[rows].tolist(), strict=True)
    ]
    return np.array(fused)
