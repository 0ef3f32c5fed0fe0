"""Parts: a data set's rows → training, validation and test, disjoint by content hash, and by source where asked.

A bundle's run holds rows out for calibration (`assemble.split`) and looks at no test part. A classifier's run
measures itself on the collection's own test part, or on a share that is cut off here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from training.calibration.fusion import by_source_or_content, parted
from training.data.assemble import Rows, gate_rows, split
from training.data.collection import DataError
from training.data.shares import HEAD_CONTENTS, SOURCES_NEEDED, content_places, whole_sources

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.recipe import Recipe


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
        DataError: a side would lack a class, there are too few sources to part by, or too few rows to calibrate on, to
            measure on or to fit on.
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
    _check(parts, recipe)
    if recipe.kind == "bundle":
        # What cannot be calibrated is told now, not after hours of training. Cross-fitted, everything calibrates.
        measured = parts.training if recipe.is_cross_fitted and not len(parts.test) else parts.test
        labels, sources, hashes = measured.labels, measured.sources, measured.hashes
        parted(labels, by_source_or_content(labels, sources, hashes))
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
        places = content_places(rows.hashes)
        out = places < np.quantile(places, min(share, 1.0))
    kept = ~out & ~np.isin(rows.hashes, rows.hashes[out])
    return rows.take(np.flatnonzero(kept)), rows.take(np.flatnonzero(out))


def _whole_sources(rows: Rows, share: float) -> NDArray[np.bool_]:
    out = whole_sources(rows.labels, rows.sources, share)
    if out is None:
        raise DataError(
            f"parting by source wants at least {SOURCES_NEEDED} sources, some of which hold about {share:.0%} of the "
            f"rows and both classes; the data has {len(np.unique(rows.sources))}: --set disjoint=content"
        )
    return out


def _check(parts: Parts, recipe: Recipe) -> None:
    for name, rows in vars(parts).items():
        if name != "gate":  # it says itself what it lacks
            _check_classes("held-out" if name == "test" and recipe.kind == "bundle" else name, rows)
    if recipe.kind == "classifier" and not len(parts.test):
        raise DataError("nothing is left to measure the classifiers on: --set test_share=0.1, or a part `test`")
    if any(part.fit.head == "logistic" for part in recipe.detectors):
        _check_contents(parts.training)


def _check_contents(training: Rows) -> None:
    fewest = min(len(np.unique(training.hashes[training.labels == label])) for label in (0, 1))
    if fewest < HEAD_CONTENTS:
        raise DataError(
            f"of one class there are only {fewest} different pictures to train on; head = logistic wants at least "
            f"{HEAD_CONTENTS}: give more pictures, or hold out less"
        )


def _check_classes(name: str, rows: Rows) -> None:
    if len(np.unique(rows.labels)) < 2 and (len(rows) or name == "training"):  # noqa: PLR2004 (two classes)
        held = f"only label {rows.labels[0]}" if len(rows) else "nothing"
        raise DataError(f"the {name} rows hold {held}; both classes are needed: check the folders' names and the split")
