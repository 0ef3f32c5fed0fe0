"""A collection: labelled pictures in whatever form people have them, listed before a byte of them is read.

Parquet files and folders are opened here.
An S3 prefix becomes a Parquet file first (`training.retraining.labelled_bucket`).
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from training.data.class_words import label_of_value, part_of
from worker.errors import AssayError

_ROWS_AT_ONCE = 512
_NEEDED = {"image", "label"}
_COLUMNS = ("name", "label", "source", "generator", "part", "split")


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
        part: `training`, `validation`, `test` or `held_out` where the collection is split already, else empty.
    """

    name: str
    label: int
    source: str
    generator: str
    part: str = ""


@dataclass(frozen=True)
class Collection:
    """Entries in a stable order, the way to their bytes, and a stamp that changes when they do.

    `left_out` names the files that are no entries, by the reason.
    """

    entries: tuple[Entry, ...]
    read: Callable[[Sequence[int]], Iterator[bytes]]
    stamp: str
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def generator_or_default(generator: str | None, label: int) -> str:
    """Name the generator; a photograph's is `real`, one that nobody named is `unknown`."""
    return generator or ("unknown" if label else "real")


def part_named(values: Sequence[Any], otherwise: str) -> str:
    """Tell the part by what the columns `part` and `split` hold, in any spelling, or else by the file's name."""
    name = next((str(value).strip() for value in values if value not in {None, ""}), otherwise)
    return name if name == "held_out" else part_of(name) or ""


def parquet_files(folder: Path) -> list[Path]:
    """List a folder's Parquet files that hold labelled pictures; one beside pictures may be something else.

    Where there are none, those of its folder `data` are taken: so data sets lie on Hugging Face's hub.
    """
    files = sorted(folder.glob("*.parquet")) or sorted((folder / "data").glob("*.parquet"))
    return [file for file in files if set(_opened(file).schema_arrow.names) >= _NEEDED]


def _opened(file: Path) -> Any:
    try:
        return pq.ParquetFile(file)
    except (OSError, ValueError) as error:
        raise DataError(f"{file} is no Parquet file ({error}); fetch it anew, or delete it from a cache") from error


def open_parquet(file: Path) -> Collection:
    """Open a Parquet file with `image` and `label`, and perhaps `name`, `source`, `generator`, `part` or `split`.

    Hugging Face's `datasets` writes `image` as a struct of bytes and path, and what its labels are called into the
    schema's metadata: a label stands for what it is called there (0 may be FAKE).

    Raises:
        DataError: it is none, lacks a column, or a label says no class.
    """
    opened = _opened(file)
    columns = set(opened.schema_arrow.names)
    if not columns >= _NEEDED:
        raise DataError(
            f"{file} needs the columns image (bytes) and label (1 = AI-generated); it has {sorted(columns)}"
        )
    _check_holds_bytes(file, opened.schema_arrow.field("image").type)
    if pa.types.is_nested(opened.schema_arrow.field("label").type):
        raise DataError(f"{file}: its column label holds {opened.schema_arrow.field('label').type}, not one label each")
    rows = _rows_of(file, opened, [column for column in _COLUMNS if column in columns])
    names = _label_names(opened.schema_arrow.metadata or {})
    labels = {value: _label(file, value, names) for value in {row["label"] for row in rows}}
    entries = tuple(_entry(file, index, row, labels[row["label"]]) for index, row in enumerate(rows))
    stat = file.stat()
    listing = [file.name, stat.st_size, stat.st_mtime_ns, *names]
    return Collection(entries, lambda chosen: _read_parquet(file, chosen), stamp(listing))


def _entry(file: Path, index: int, row: Mapping[str, Any], label: int) -> Entry:
    return Entry(
        name=_text(row.get("name")) or f"{file.name}#{index}",
        label=label,
        source=_text(row.get("source")) or _source_of(file),
        generator=generator_or_default(_text(row.get("generator")), label),
        part=part_named((row.get("part"), row.get("split")), file.stem),
    )


def _rows_of(file: Path, opened: Any, columns: Sequence[str]) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = opened.read(columns=columns).to_pylist()
    except (OSError, ValueError) as error:
        raise DataError(f"{file} is damaged ({error}); fetch it anew") from error
    return rows


def _source_of(file: Path) -> str:
    """Name a file's source by its stem; of train-00000-of-00002.parquet, its folder says what it is of."""
    source = file.stem.split("-")[0]
    if not part_of(source):
        return source
    return (file.parent.parent if file.parent.name == "data" else file.parent).name or source


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _check_holds_bytes(file: Path, kind: Any) -> None:
    inside = kind.field("bytes").type if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0 else kind
    if not (pa.types.is_binary(inside) or pa.types.is_large_binary(inside)):
        raise DataError(
            f"{file}: its column image holds {kind}, not the pictures' bytes; put the bytes in, or give a CSV with the "
            "files' names"
        )


def _label_names(metadata: dict[bytes, bytes]) -> list[str]:
    """Read what a ClassLabel's numbers are called, by Hugging Face's schema metadata; empty where nothing is said."""
    try:
        names = json.loads(metadata[b"huggingface"])["info"]["features"]["label"]["names"]
    except (KeyError, TypeError, ValueError):
        return []
    return [str(name) for name in names]


def _label(file: Path, value: Any, names: Sequence[str]) -> int:
    called = names[value] if isinstance(value, int) and 0 <= value < len(names) else ""
    if called or isinstance(value, str):
        label = label_of_value(called or value)
    else:
        # A number above 1 may be any of ten classes: nobody says that they are all AI-generated.
        label = None if names or value not in {0, 1} else int(value)
    if label is None:
        hint = f", called {called!r}" if called else ""
        raise DataError(
            f"{file}: cannot tell the class of label {value!r}{hint}; use 1 = AI-generated and 0 = not, or words such "
            "as real and fake, and leave rows without a label out"
        )
    return label


def _read_parquet(file: Path, chosen: Sequence[int]) -> Iterator[bytes]:
    places, begin = np.asarray(chosen), 0
    for batch in pq.ParquetFile(file).iter_batches(_ROWS_AT_ONCE, columns=["image"]):
        inside = places[(places >= begin) & (places < begin + len(batch))] - begin
        images = batch.column(0).take(inside)
        if pa.types.is_struct(images.type):
            images = images.field("bytes")
        # One whose bytes are elsewhere is no sound picture here.
        yield from (image.as_py() or b"" for image in images)
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


def left_out_lines(collection: Collection) -> list[str]:
    """Say what is no entry of a collection, a line for each reason."""
    return [
        f"left out {len(names)} files ({why}), such as {names[0]}" for why, names in sorted(collection.left_out.items())
    ]


def stamp(value: object) -> str:
    """Name a listing by its content."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
