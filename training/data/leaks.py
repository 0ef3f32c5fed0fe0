"""Leak audit: can the files tell the classes apart before anybody looks at a pixel?

Where fakes are PNG and photographs JPEG, a detector learns the format and is of no use on the next platform. A small
cross-validated tree looks at each kind of fact alone; what it finds, a network will find too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.tree import DecisionTreeClassifier

KINDS: Mapping[str, tuple[str, ...]] = {
    "format": ("format", "mode"),
    "size": ("width", "height", "aspect"),
    "JPEG tables": ("jpeg_luminance", "jpeg_chrominance", "jpeg_sampling", "jpeg_progressive"),
    "file size": ("bytes", "bytes_per_pixel"),
    "metadata": ("exif", "icc"),
}
# Chance is 0.5; CIFAKE, whose files were made alike, has 0.56 in its file sizes.
LIMIT = 0.65
_RARELY = 0.01
_FOLDS, _MOST_ROWS, _FEWEST = 5, 20_000, 10


@dataclass(frozen=True)
class Leak:
    """How well one kind of fact tells the classes: AUROC of a small tree, cross-validated; 0.5 = not at all.

    `by_chance` is how often facts that tell nothing give as much on so few pictures (Mann-Whitney, one-sided).
    """

    kind: str
    auroc: float
    by_chance: float

    @property
    def warns(self) -> bool:
        """Tell whether training on this data would teach the fact rather than traces of generators."""
        return self.auroc > LIMIT and self.by_chance < _RARELY


def audit(manifest: pa.Table) -> list[Leak]:
    """Audit a manifest (columns of `training.data.picture_facts`, and label); needs ten pictures of each class."""
    # Copies would be on both sides of the folds, and any fact would tell them.
    different = np.sort(np.unique(np.array(manifest["sha256"].to_pylist()), return_index=True)[1])
    rows = different[np.unique(np.linspace(0, len(different) - 1, min(len(different), _MOST_ROWS)).astype(int))]
    table: dict[str, list[Any]] = manifest.take(rows).to_pydict()
    pixels = np.array(table["width"], float) * np.array(table["height"], float)
    columns: dict[str, Any] = {
        **table,
        "aspect": np.array(table["width"], float) / np.array(table["height"], float),
        "bytes_per_pixel": np.array(table["bytes"], float) / pixels,
    }
    labels = np.array(table["label"])
    if min((labels == 0).sum(), (labels == 1).sum()) < _FEWEST:
        return []
    return [_looked_at(kind, [columns[name] for name in names], labels) for kind, names in KINDS.items()]


def _looked_at(kind: str, columns: list[Any], labels: NDArray[np.int64]) -> Leak:
    facts = np.stack([_as_numbers(column) for column in columns], axis=1)  # (N, F)
    if (facts == facts[0]).all():
        return Leak(kind, 0.5, 1.0)
    tree = DecisionTreeClassifier(max_depth=4, min_samples_leaf=5, class_weight="balanced", random_state=0)
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
    scores = cross_val_predict(tree, facts, labels, cv=folds, method="predict_proba")[:, 1]
    test = mannwhitneyu(scores[labels == 1], scores[labels == 0], alternative="greater")
    return Leak(kind, float(roc_auc_score(labels, scores)), float(test.pvalue))


def _as_numbers(column: Any) -> NDArray[np.float64]:
    values = np.asarray(column)
    if values.dtype.kind in "US":
        return np.unique(values, return_inverse=True)[1].astype(np.float64)
    return values.astype(np.float64)


def as_text(leaks: list[Leak]) -> str:
    """Lay the audit out for people, one line for each kind of fact."""
    if not leaks:
        return f"leak audit: not done, it needs at least {_FEWEST} different pictures of each class\n"
    lines = ["leak audit: how well facts of the files alone tell the classes (AUROC; 0.5 = not at all)"]
    for leak in leaks:
        warning = "  WARNING: the data leaks its classes here" if leak.warns else ""
        lines.append(f"  {leak.kind:<12}{leak.auroc:6.3f}{warning}")
    if any(leak.warns for leak in leaks):
        lines.append(
            "  A detector may learn this instead of traces of generators. Bring both classes to one format, size and\n"
            "  quality before training (or collect them alike), and trust figures on this data's own test part little."
        )
    return "\n".join(lines) + "\n"
