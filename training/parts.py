"""Parts: a data set's rows → training, validation and test, disjoint by content hash, and by source where asked.

A bundle's run holds rows out for calibration (`training.data.split`) and looks at no test part. A classifier's run
measures itself on the collection's own test part, or on a share that is cut off here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from training.collection import DataError
from training.data import Rows, content_places, gate_rows, split

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.recipe import Recipe

_SOURCES_NEEDED = 4


@dataclass(frozen=True)
class Parts:
    """Rows to fit on, to stop early by, and to measure on; no content, and where asked no source, is in two.

    A bundle's run may leave more of them for the gate.
    """

    training: Rows
    validation: Rows
    test: Rows
    gate: Rows


def parts_of(rows: Rows, recipe: Recipe) -> Parts:
    """Part all rows as the recipe says.

    Raises:
        DataError: a side would lack a class, or there are too few sources to part by.
    """
    if recipe.kind == "bundle":
        looked_at = rows.take(np.flatnonzero(rows.parts != "test"))
        kept, held_out = split(looked_at, recipe)
        own = np.zeros(len(kept), dtype=bool)
        training, validation = _cut(kept, own, recipe.validation_share, recipe)
        parts = Parts(training, validation, held_out, gate_rows(looked_at, recipe))
    else:
        kept, test = _cut(rows, rows.parts == "test", recipe.test_share, recipe)
        # Of what is left, so that 0.1 of the whole stays 0.1 of the whole.
        share = recipe.validation_share * len(rows) / max(len(kept), 1)
        training, validation = _cut(kept, kept.parts == "validation", share, recipe)
        parts = Parts(training, validation, test, test.take(np.empty(0, dtype=np.int64)))
    _check(parts)
    return parts


def _cut(rows: Rows, own: NDArray[np.bool_], share: float, recipe: Recipe) -> tuple[Rows, Rows]:
    """Cut off a share, or the collection's own part where it has one and the recipe does not pool everything."""
    if own.any() and not recipe.pool:
        out = own
    elif share <= 0:
        out = np.zeros(len(rows), dtype=bool)
    elif recipe.disjoint == "source":
        out = _whole_sources(rows, share)
    else:
        # The places that `share` of the contents still here have: an earlier cut took the lowest ones.
        places = content_places(rows)
        out = places < np.quantile(places, min(share, 1.0))
    kept = ~out & ~np.isin(rows.hashes, rows.hashes[out])
    return rows.take(np.flatnonzero(kept)), rows.take(np.flatnonzero(out))


def _whole_sources(rows: Rows, share: float) -> NDArray[np.bool_]:
    sources = len(np.unique(rows.sources))
    if sources < _SOURCES_NEEDED:
        raise DataError(f"parting by source wants at least {_SOURCES_NEEDED} sources, the data has {sources}")
    folds = StratifiedGroupKFold(min(max(2, round(1 / share)), sources), shuffle=True, random_state=0)
    out = np.zeros(len(rows), dtype=bool)
    out[next(iter(folds.split(rows.labels, rows.labels, rows.sources)))[1]] = True
    return out


def _check(parts: Parts) -> None:
    for name, rows in vars(parts).items():
        if name == "gate":
            continue  # it says itself what it lacks
        if len(np.unique(rows.labels)) < 2 and (len(rows) or name == "training"):  # noqa: PLR2004 (two classes)
            found = "nothing" if not len(rows) else f"only label {rows.labels[0]}"
            raise DataError(
                f"the {name} rows hold {found}; both classes are needed: check the folders' names and the split"
            )
