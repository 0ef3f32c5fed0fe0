"""Pictures to evaluate on: any collections, at their own sizes, their bytes read as they are needed.

Training cuts pictures to one size; here they go through the worker's own decoder as they are, so that what is measured
is what the worker would have said.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from training.data.assemble import Rows, content_hashes, split
from training.data.collection import Collection, DataError, Entry, parquet_files
from training.data.image_folder import open_collection

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from training.recipe import Recipe

_WRONG = 24


@dataclass(frozen=True)
class Pictures:
    """Labelled pictures in a stable order, N of them; all arrays are (N,).

    Attributes:
        collections: where their bytes are.
        places: int64, of each picture among all entries of the collections, ascending.
        names: text, for people.
        labels: int8, 1 = AI-generated.
        sources, generators, parts: text, as in `training.data.collection.Entry`.
        hashes: text, sha256 of the bytes.
    """

    collections: tuple[Collection, ...]
    places: NDArray[np.int64]
    names: NDArray[np.str_]
    labels: NDArray[np.int8]
    sources: NDArray[np.str_]
    generators: NDArray[np.str_]
    parts: NDArray[np.str_]
    hashes: NDArray[np.str_]

    def __len__(self) -> int:
        """Count the pictures."""
        return len(self.labels)

    def take(self, which: NDArray[Any]) -> Pictures:
        """Select pictures by mask, or by ascending index."""
        arrays = {name: value[which] for name, value in vars(self).items() if name != "collections"}
        return replace(self, **arrays)

    def read(self) -> Iterator[bytes]:
        """Yield the bytes of each picture, in order, without holding more than a few."""
        begin = 0
        for collection in self.collections:
            end = begin + len(collection.entries)
            inside = self.places[(self.places >= begin) & (self.places < end)] - begin
            if len(inside):
                yield from collection.read(inside.tolist())
            begin = end

    @property
    def clusters(self) -> NDArray[np.str_]:
        """What a bootstrap draws together: sources, or contents where there is one source."""
        return self.sources if len(np.unique(self.sources)) > 1 else self.hashes


def fingerprint(hashes: NDArray[np.str_], labels: NDArray[np.int8]) -> str:
    """Name images and their labels, (N,) each, by content, whatever their order: sha256, hex."""
    lines = sorted(f"{digest} {label}" for digest, label in zip(hashes, labels, strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def open_pictures(places: Sequence[Path]) -> Pictures:
    """Open collections and read every byte once, for the hashes.

    Args:
        places: folders of pictures, of Parquet files, Parquet files or CSV files.

    Raises:
        DataError: there is nothing, nothing that is labelled, or it cannot be read.
    """
    collections = tuple(open_collection(file) for place in places for file in _files(place))
    entries = [entry for collection in collections for entry in collection.entries]
    if not entries:
        raise DataError(f"there are no labelled pictures in {', '.join(map(str, places))}")
    wholes = (collection.read(range(len(collection.entries))) for collection in collections)
    return Pictures(
        collections=collections,
        places=np.arange(len(entries)),
        names=_column(entries, "name"),
        labels=np.array([entry.label for entry in entries], dtype=np.int8),
        sources=_column(entries, "source"),
        generators=_column(entries, "generator"),
        parts=_column(entries, "part"),
        hashes=np.array([hashlib.sha256(image).hexdigest() for images in wholes for image in images]),
    )


def _column(entries: Sequence[Entry], name: str) -> NDArray[np.str_]:
    return np.array([getattr(entry, name) for entry in entries], dtype=np.str_)


def not_read(collections: Sequence[Collection]) -> dict[str, dict[str, Any]]:
    """Tell what beside the pictures was not read: by the reason, how many `files` and an `example`."""
    reasons: dict[str, dict[str, Any]] = {}
    for why, names in (item for collection in collections for item in sorted(collection.left_out.items())):
        reasons.setdefault(why, {"files": 0, "example": names[0]})["files"] += len(names)
    return reasons


def in_words(left_out: dict[str, Any]) -> list[str]:
    """Say what a report's `data.left_out` counts, a line for each reason."""
    lines = []
    if left_out["undecodable"]:
        example = left_out["examples"][0]
        lines.append(f"left out   {left_out['undecodable']} that are no sound pictures, such as {example}")
    for why, group in left_out.get("not_read", {}).items():
        lines.append(f"left out   {group['files']} files ({why}), such as {group['example']}")
    return lines


def _files(place: Path) -> list[Path]:
    return parquet_files(place) or [place]


def held_out_of(pictures: Pictures, recipe: Recipe, fitted_without: Sequence[str] = ()) -> Pictures:
    """Keep what a recipe holds out of training, as `training.data.assemble.split` parts it.

    Args:
        pictures: some or all of them trained on.
        recipe: says what it holds out; where it chooses sources by its data, other data would give others.
        fitted_without: these then, as the bundle's card names them.

    Raises:
        DataError: none of it is here.
    """
    if recipe.disjoint == "source" and not recipe.held_out_sources:
        recipe = replace(recipe, held_out_sources=tuple(fitted_without), disjoint="content")
    sources = np.intersect1d(recipe.held_out_sources, pictures.sources).tolist()  # made pictures are in no file
    if recipe.held_out_sources and not sources:
        raise DataError(f"none of the sources that recipe {recipe.name} holds out is in the data")
    nothing = np.empty((len(pictures), 0, 0, 3), dtype=np.uint8)
    rows = Rows(nothing, pictures.labels, pictures.sources, pictures.generators, pictures.hashes)
    kept = split(rows, replace(recipe, held_out_sources=tuple(sources)))[1]
    return pictures.take(np.isin(pictures.hashes, kept.hashes) & np.isin(pictures.sources, kept.sources))


def without(pictures: Pictures, places: Sequence[Path]) -> Pictures:
    """Leave out pictures whose bytes occur in other collections."""
    hashes = [
        digest
        for place in places
        for file in _files(place)
        for collection in [open_collection(file)]
        for digest in content_hashes(list(collection.read(range(len(collection.entries)))))
    ]
    return pictures.take(~np.isin(pictures.hashes, hashes))


def some(pictures: Pictures, count: int) -> Pictures:
    """Take about this many, evenly out of every source and class; all of them if there are no more."""
    if len(pictures) <= count:
        return pictures
    # Ordered by group, equal steps give every group its share.
    order = np.lexsort((np.arange(len(pictures)), pictures.labels, pictures.sources))
    steps = np.linspace(0, len(pictures) - 1, count).round().astype(np.int64)
    return pictures.take(np.sort(order[np.unique(steps)]))


def most_wrong(pictures: Pictures, probabilities: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Name the pictures on the wrong side of one half, the farthest first, half of them of each class."""
    off = np.abs(probabilities - pictures.labels)
    worst = []
    for label in (0, 1):
        of_class = np.flatnonzero((pictures.labels == label) & (off > 0.5))  # noqa: PLR2004 (one half)
        worst += of_class[np.argsort(-off[of_class], kind="stable")][: _WRONG // 2].tolist()
    return [
        {
            "name": str(pictures.names[index]),
            "sha256": str(pictures.hashes[index]),
            "label": int(pictures.labels[index]),
            "probability": float(probabilities[index]),
            "source": str(pictures.sources[index]),
            "generator": str(pictures.generators[index]),
        }
        for index in worst
    ]
