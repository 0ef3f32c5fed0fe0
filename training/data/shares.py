"""Shares: which rows a share of a data set takes, by content or as whole sources. Pure decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

SOURCES_NEEDED = 4
HEAD_CONTENTS = 5  # of each class, the fewest that a logistic head is chosen by
_SEEDS = 10


def content_places(hashes: NDArray[np.str_], digits: slice = slice(8)) -> NDArray[np.float64]:
    """Give each content a fixed place in [0, 1), (N,); shares of a data set are cut along it.

    Args:
        hashes: (N,), hexadecimal.
        digits: eight of them; places by other digits are independent of these.
    """
    return np.array([int(text[digits] or "0", 16) for text in hashes.tolist()], dtype=np.float64) / 2.0**32


def whole_sources(labels: NDArray[np.int8], sources: NDArray[np.str_], share: float) -> Mask | None:
    """Choose whole sources that hold about a share of the rows, with both classes on either side.

    As near as may be: at least half of it, at most twice of it or a quarter of the rows. The same rows always give the
    same choice.

    Returns:
        (N,), what is chosen; None where there are fewer than four sources, or none can be chosen so.
    """
    count = len(np.unique(sources))
    if count < SOURCES_NEEDED:
        return None
    most = min(max(2, round(1 / share)), count, int(np.bincount(labels, minlength=2).min()))
    for folds in range(most, 1, -1):
        candidates = [out for out in _folds(labels, sources, folds) if _serves(out, labels, share)]
        if candidates:
            return min(candidates, key=lambda out: abs(out.mean() - share))
    return None


def _folds(labels: NDArray[np.int8], sources: NDArray[np.str_], count: int) -> Iterator[Mask]:
    for seed in range(_SEEDS):
        splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
        for _, chosen in splitter.split(labels, labels, sources):
            yield np.isin(np.arange(len(labels)), chosen)


def _serves(out: Mask, labels: NDArray[np.int8], share: float) -> bool:
    both = all(len(np.unique(labels[side])) > 1 for side in (out, ~out))
    return both and bool(share / 2 <= out.mean() <= max(share * 2, 1 / SOURCES_NEEDED))
