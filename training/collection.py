"""A collection: labelled pictures in whatever form people have them, listed before a byte of them is read.

Parquet files and folders are opened here; an S3 prefix becomes a Parquet file first (`training.labelled_bucket`).
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from training.class_words import part_of
from worker.errors import AssayError

_ROWS_AT_ONCE = 512


class DataError(AssayError):
    """The data cannot be used for training; the message says why and what to do."""


@dataclass(frozen=True)
class Entry:
    """A labelled picture, its bytes not yet read.

    Attributes:
        name: its place in the collection.
        label: 1 = AI-generated.
        source: where it comes from; rows of one source are alike.
        generator: `real`, the generator's name, or `unknown`.
        part: `training`, `validation` or `test` where the collection is split already, else empty.
    """

    name: str
    label: int
    source: str
    generator: str
    part: str = ""


@dataclass(frozen=True)
class Collection:
    """Entries in a stable order, the way to their bytes, and a stamp that changes when they do."""

    entries: tuple[Entry, ...]
    read: Callable[[Sequence[int]], Iterator[bytes]]
    stamp: str


def generator_or_default(generator: str | None, label: int) -> str:
    """Name the generator; a photograph's is `real`, one that nobody named is `unknown`."""
    return generator or ("unknown" if label else "real")


def open_parquet(file: Path) -> Collection:
    """Open a Parquet file with `image` and `label`, and perhaps `name`, `source`, `generator` and `part`.

    Raises:
        DataError: it is none, or lacks a column.
    """
    try:
        opened = pq.ParquetFile(file)
    except (OSError, ValueError) as error:
        raise DataError(f"{file} is no Parquet file ({error})") from error
    columns = set(opened.schema_arrow.names)
    if not {"image", "label"} <= columns:
        raise DataError(
            f"{file} needs the columns image (bytes) and label (1 = AI-generated); it has {sorted(columns)}"
        )
    kept = [column for column in ("name", "label", "source", "generator", "part") if column in columns]
    rows = opened.read(columns=kept).to_pylist()
    source, part = file.stem.split("-")[0], part_of(file.stem) or ""
    entries = tuple(
        Entry(
            name=row.get("name") or f"{file.name}#{index}",
            label=int(row["label"]),
            source=row.get("source") or source,
            generator=generator_or_default(row.get("generator"), int(row["label"])),
            part=row.get("part") or part,
        )
        for index, row in enumerate(rows)
    )
    stat = file.stat()
    return Collection(
        entries, lambda chosen: _read_parquet(file, chosen), stamp([file.name, stat.st_size, stat.st_mtime_ns])
    )


def _read_parquet(file: Path, chosen: Sequence[int]) -> Iterator[bytes]:
    wanted, begin = np.asarray(chosen), 0
    for batch in pq.ParquetFile(file).iter_batches(_ROWS_AT_ONCE, columns=["image"]):
        inside = wanted[(wanted >= begin) & (wanted < begin + len(batch))] - begin
        yield from (image.as_py() for image in batch.column(0).take(inside))
        begin += len(batch)


def sample(entries: Sequence[Entry], limit: int) -> list[int]:
    """Choose about `limit` entries, evenly out of every source and class, at least eight of each; 0 chooses all."""
    if not 0 < limit < len(entries):
        return list(range(len(entries)))
    groups: dict[tuple[str, int, str], list[int]] = {}
    for index, entry in enumerate(entries):
        groups.setdefault((entry.source, entry.label, entry.part), []).append(index)
    chosen: list[int] = []
    for indices in groups.values():
        count = min(len(indices), max(8, round(limit * len(indices) / len(entries))))
        chosen += [indices[place] for place in np.linspace(0, len(indices) - 1, count).astype(int)]
    return sorted(chosen)


def stamp(value: object) -> str:
    """Name a listing by its content."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
