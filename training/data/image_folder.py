"""Folders of pictures: class folders in any spelling, or a CSV that names files and labels.

Read as they come from Kaggle and elsewhere: `train/REAL`, `test/FAKE`, `training_fake`, `0_real`, `nature` and `ai`
below a generator's name; `train.csv` with `file_name` and `label`. Class folders go before tables.
"""

import codecs
import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path

from training.data.class_words import AmbiguousNameError, class_folder, label_of, label_of_value, part_of
from training.data.class_words import says_only_class_or_part as says_no_more
from training.data.collection import Collection, DataError, Entry, generator_or_default, open_parquet, part_named, stamp
from worker.log import get_logger

log = get_logger()
_SUFFIXES = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".webp",
        ".gif",
        ".bmp",
        ".tif",
        ".tiff",
        ".avif",
        ".heic",
        ".heif",
        ".mpo",
    ]
)
# Beside pictures, and expected to be none.
_TEXTS = frozenset(
    [".csv", ".tsv", ".txt", ".md", ".rst", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".html", ".py", ".parquet"]
)
_FILE_COLUMNS = ("file_name", "filename", "image_path", "path", "file", "image", "img")
# Words before numbers: some sets count the photographs as 1 and say so in a second column only.
_LABEL_COLUMNS = ("label_str", "class_name", "class", "label", "target", "is_ai", "ai_generated", "generated")
_COLUMNS = {
    "file": _FILE_COLUMNS,
    "label": _LABEL_COLUMNS,
    **{name: (name,) for name in ("source", "generator", "part", "split")},
}


def open_collection(place: Path) -> Collection:
    """Open a Parquet file, a CSV or a folder of pictures.

    Raises:
        DataError: there is nothing, or nothing that is labelled.
    """
    if not place.exists():
        raise DataError(f"there is no {place}; --data wants a folder, a Parquet file, a CSV or s3://bucket/prefix")
    if place.is_dir():
        return open_folder(place)
    return open_tables(place.parent, [place]) if place.suffix.lower() == ".csv" else open_parquet(place)


def open_folder(root: Path) -> Collection:
    """Open a folder of pictures by its class folders, or else by the CSV files in it; hidden files are left out.

    Raises:
        DataError: neither tells the classes, or folders name both classes.
    """
    pictures, left_out = _listed(root)
    try:
        entries = [(file, entry_of(root, file)) for file in pictures]
    except AmbiguousNameError as error:
        raise DataError(str(error)) from error
    pairs = [(file, entry) for file, entry in entries if entry is not None]
    if pairs:
        left_out["no folder on the way names a class"] = sorted(set(pictures) - {file for file, _ in pairs})
        return _of_files(root, pairs, left_out)
    tables = [file for file in sorted(root.glob("*.csv")) if file.is_file()]
    if tables:
        return open_tables(root, tables)
    raise DataError(
        f"{root} has no folders that name the classes (such as real/ and fake/), no CSV with labels and no Parquet "
        f"file with the columns image and label, in it or in its data/ ({len(pictures)} pictures found)"
    )


def _listed(root: Path) -> tuple[list[Path], dict[str, list[Path]]]:
    """List the pictures below a folder, and by the reason what else is there and might have been one."""
    pictures: list[Path] = []
    left_out: dict[str, list[Path]] = {}
    for file in sorted(root.rglob("*")):
        suffix = file.suffix.lower()
        if any(part.startswith(".") for part in file.relative_to(root).parts):
            continue
        if suffix not in _SUFFIXES:
            if suffix not in _TEXTS and file.is_file():
                left_out.setdefault("not named as a picture", []).append(file)
        elif reason := _why_unreadable(file):
            left_out.setdefault(reason, []).append(file)
        else:
            pictures.append(file)
    return pictures, left_out


def _why_unreadable(file: Path) -> str:
    if file.is_file():
        return "" if os.access(file, os.R_OK) else "may not be read"
    return "a folder, not a file" if file.is_dir() else "a link to nothing"


def entry_of(root: Path, file: Path) -> Entry | None:
    """Read class, source, generator and part off an image's way; None where no folder names a class."""
    folders = file.relative_to(root).parts[:-1]
    place = class_folder(folders)
    if place is None:
        return None
    label = label_of(folders[place])
    assert label is not None  # noqa: S101 (class_folder gives only such)
    source = next((name for name in folders[:place] if not says_no_more(name)), "")
    below = "".join(folders[place + 1 : place + 2])
    generator = (below or source) if label else ""
    return Entry(
        name=file.relative_to(root).as_posix(),
        label=label,
        source=source or root.name,
        generator=generator_or_default(generator, label),
        part=next((part for name in folders if (part := part_of(name))), ""),
    )


def open_tables(root: Path, tables: Sequence[Path]) -> Collection:
    """Open the pictures that CSV files name; a table without labels (a competition's test set) is left out.

    Raises:
        DataError: no table has both columns, a label cannot be read, or a file is missing.
    """
    pairs = [pair for table in tables for pair in _rows_of(root, table)]
    if not pairs:
        raise DataError(
            f"no CSV in {root} has labels: one of the columns {', '.join(_FILE_COLUMNS)} must name the file and one "
            f"of {', '.join(_LABEL_COLUMNS)} the class (1 = AI-generated, or a word)"
        )
    _check_there([file for file, _ in pairs])
    locked = {file for file, _ in pairs if _why_unreadable(file)}
    readable = [pair for pair in pairs if pair[0] not in locked]
    return _of_files(root, readable, {"may not be read": sorted(locked)})


def _check_there(files: Sequence[Path]) -> None:
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise DataError(f"{len(missing)} of {len(files)} files that the CSV names are missing, such as {missing[0]}")


def _rows_of(root: Path, table: Path) -> Iterator[tuple[Path, Entry]]:
    for line, row in _table_rows(table):
        file, value = row["file"], row["label"]
        if not file or value is None:
            raise DataError(f"{table}: line {line} has fewer columns than the first, or names no file; mend or drop it")
        label = label_of_value(value)
        if label is None:
            raise DataError(f"{table}: cannot tell the class of label {value!r} (line {line}); use 1 = AI-generated")
        yield (
            root / file,
            Entry(
                name=file,
                label=label,
                source=row.get("source") or root.name,
                generator=generator_or_default(row.get("generator"), label),
                part=part_named((row.get("part"), row.get("split")), table.stem),
            ),
        )


def _table_rows(table: Path) -> list[tuple[int, dict[str, str | None]]]:
    """Return lines and their columns under our names; none of a table that names no files or has no labels."""
    reader = csv.DictReader(io.StringIO(_text_of(table), newline=""))
    try:
        columns = _columns(reader.fieldnames or ())
        if not columns.keys() >= {"file", "label"}:
            return []
        return [(reader.line_num, {name: row[column] for name, column in columns.items()}) for row in reader]
    except csv.Error as error:
        raise DataError(f"{table}: line {reader.line_num + 1} cannot be read ({error})") from error


def _columns(header: Sequence[str]) -> dict[str, str]:
    """Return our names of columns to the table's own."""
    own = {name.strip().lower(): name for name in header}
    there = {name: [word for word in words if word in own] for name, words in _COLUMNS.items()}
    return {name: own[words[0]] for name, words in there.items() if words}


def _text_of(table: Path) -> str:
    """Read a table as UTF-8, as UTF-16 where its first bytes say so, else as Latin-1, as spreadsheets write them."""
    try:
        data = table.read_bytes()
    except OSError as error:
        raise DataError(f"{table} cannot be read ({error.strerror})") from error
    marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if marked else "utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    if "\0" in text:
        raise DataError(f"{table} holds NUL characters, so it is no CSV or in another encoding: save it as UTF-8")
    return text


def _of_files(root: Path, pairs: Sequence[tuple[Path, Entry]], left_out: Mapping[str, Sequence[Path]]) -> Collection:
    files = [file for file, _ in pairs]
    listing = [(*astuple(entry), (s := file.stat()).st_size, s.st_mtime_ns) for file, entry in pairs]
    return Collection(
        tuple(entry for _, entry in pairs),
        lambda chosen: (_bytes_of(files[index]) for index in chosen),
        stamp(listing),
        {why: tuple(_below(root, file) for file in names) for why, names in left_out.items() if names},
    )


def _bytes_of(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        # Without bytes it is no sound picture, and is counted among those.
        log.warning("picture_unreadable", file=str(file), reason=error.strerror)
        return b""


def _below(root: Path, file: Path) -> str:
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else str(file)
