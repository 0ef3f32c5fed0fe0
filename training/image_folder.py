"""Folders of pictures: class folders in any spelling, or a CSV that names files and labels.

Read as they come from Kaggle and elsewhere: `train/REAL`, `test/FAKE`, `training_fake`, `0_real`, `nature` and `ai`
below a generator's name; `train.csv` with `file_name` and `label`. Class folders go before tables.
"""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from training.class_words import AmbiguousNameError, class_folder, label_of, label_of_value, part_of
from training.class_words import says_only_class_or_part as says_no_more
from training.collection import Collection, DataError, Entry, generator_or_default, open_parquet, stamp
from worker.log import get_logger

log = get_logger()
_SUFFIXES = frozenset([".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif"])
_FILE_COLUMNS = ("file_name", "filename", "image_path", "path", "file", "image", "img")
# Words before numbers: some sets count the photographs as 1 and say so in a second column only.
_LABEL_COLUMNS = ("label_str", "class_name", "class", "label", "target", "is_ai", "ai_generated", "generated")


def open_collection(place: Path) -> Collection:
    """Open a Parquet file, a CSV or a folder of pictures.

    Raises:
        DataError: there is nothing, or nothing that is labelled.
    """
    if not place.exists():
        raise DataError(f"there is no {place}; --data wants a folder, a Parquet file, a CSV or s3://bucket/prefix")
    if place.suffix.lower() == ".csv":
        return open_tables(place.parent, [place])
    return open_folder(place) if place.is_dir() else open_parquet(place)


def open_folder(root: Path) -> Collection:
    """Open a folder of pictures by its class folders, or else by the CSV files in it; hidden files are left out.

    Raises:
        DataError: neither tells the classes, or folders name both classes.
    """
    pictures = [
        file
        for file in sorted(root.rglob("*"))
        if file.suffix.lower() in _SUFFIXES and not any(p.startswith(".") for p in file.relative_to(root).parts)
    ]
    try:
        entries = [(file, entry) for file in pictures if (entry := entry_of(root, file)) is not None]
    except AmbiguousNameError as error:
        raise DataError(str(error)) from error
    if entries:
        if len(entries) < len(pictures):
            log.warning("pictures_without_class", left_out=len(pictures) - len(entries), below=str(root))
        return _of_files(entries)
    tables = sorted(root.glob("*.csv"))
    if tables:
        return open_tables(root, tables)
    raise DataError(
        f"{root} has no folders that name the classes (such as real/ and fake/) and no CSV with labels "
        f"({len(pictures)} pictures found)"
    )


def entry_of(root: Path, file: Path) -> Entry | None:
    """Read class, source, generator and part off an image's way; None where no folder names a class."""
    folders = file.relative_to(root).parts[:-1]
    place = class_folder(folders)
    if place is None:
        return None
    label = label_of(folders[place])
    assert label is not None  # noqa: S101 (class_folder gives only such)
    telling = [name for name in folders[:place] if label_of(name) is None and not says_no_more(name)]
    below = folders[place + 1 : place + 2]
    generator = (below or tuple(telling[:1]) or ("",))[0] if label else ""
    return Entry(
        name=file.relative_to(root).as_posix(),
        label=label,
        source=telling[0] if telling else root.name,
        generator=generator_or_default(generator, label),
        part=next((part for name in folders if (part := part_of(name))), ""),
    )


def open_tables(root: Path, tables: Sequence[Path]) -> Collection:
    """Open the pictures that CSV files name; a table without labels (a competition's test set) is left out.

    Raises:
        DataError: no table has both columns, a label cannot be read, or a file is missing.
    """
    found = [pair for table in tables for pair in _rows_of(root, table)]
    if not found:
        raise DataError(
            f"no CSV in {root} has labels: one of the columns {', '.join(_FILE_COLUMNS)} must name the file and one "
            f"of {', '.join(_LABEL_COLUMNS)} the class (1 = AI-generated, or a word)"
        )
    missing = [file for file, _ in found if not file.is_file()]
    if missing:
        raise DataError(f"{len(missing)} of {len(found)} files that the CSV names are missing, such as {missing[0]}")
    return _of_files(found)


def _rows_of(root: Path, table: Path) -> Iterator[tuple[Path, Entry]]:
    with table.open(encoding="utf-8-sig", newline="") as opened:
        reader = csv.DictReader(opened)
        by_name = {name.strip().lower(): name for name in reader.fieldnames or ()}
        file_column = next((by_name[name] for name in _FILE_COLUMNS if name in by_name), None)
        label_column = next((by_name[name] for name in _LABEL_COLUMNS if name in by_name), None)
        if file_column is None or label_column is None:
            return
        for row in reader:
            label = label_of_value(row[label_column])
            if label is None:
                raise DataError(f"{table}: cannot tell the class of label {row[label_column]!r}; use 1 = AI-generated")
            told = {name: row[by_name[name]] for name in ("source", "generator", "part", "split") if name in by_name}
            yield (
                root / row[file_column],
                Entry(
                    name=row[file_column],
                    label=label,
                    source=told.get("source") or root.name,
                    generator=generator_or_default(told.get("generator"), label),
                    part=part_of(told.get("part") or told.get("split") or table.stem) or "",
                ),
            )


def _of_files(found: Sequence[tuple[Path, Entry]]) -> Collection:
    files = [file for file, _ in found]
    listing = [(entry.name, entry.label, (s := file.stat()).st_size, s.st_mtime_ns) for file, entry in found]
    return Collection(
        tuple(entry for _, entry in found),
        lambda chosen: (files[index].read_bytes() for index in chosen),
        stamp(listing),
    )
