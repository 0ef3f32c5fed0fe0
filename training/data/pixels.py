"""Pixels: a collection's bytes → one array, and its manifest, kept in a cache.

Files that are no sound pictures are left out and counted. The cache's names hold a hash of the collections' listings,
so changed data is decoded anew.
"""

from __future__ import annotations

import math
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from tqdm import tqdm

from training.data.collection import Collection, DataError, left_out_lines, sample, stamp
from training.data.image_folder import open_collection
from training.data.picture_facts import picture_facts
from worker.cores import cores
from worker.errors import PermanentError
from worker.images.decode import decode
from worker.images.views import native_crop, reduced_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_MAX_PIXELS = 200_000_000
_PICTURES_AT_ONCE = 256
_FORMAT = 3  # of the cache; older ones have parts as they were spelt


class MixedSizesError(DataError):
    """The pictures differ in size and no side is given; give the recipe one."""


@dataclass(frozen=True)
class Shape:
    """How pictures become arrays of one size.

    Attributes:
        side: of the square in pixels; None where all pictures are of one size and stay as they are.
        squeeze: reduce or enlarge the whole picture to the square; otherwise its native middle is cut out.
        limit: about this many pictures, evenly out of every source and class; 0 for all.
    """

    side: int | None = None
    squeeze: bool = False
    limit: int = 0


def decoded(files: Sequence[Path], cache: Path, shape: Shape) -> tuple[Path, Path]:
    """Decode collections, unless it was done before.

    Args:
        files: what `training.data.image_folder.open_collection` opens.
        cache: a folder that may be written to.
        shape: what to make of the pictures.

    Returns:
        The pixels, uint8 (at least N, H, W, 3) as `.npy`, and the manifest, a Parquet file of N rows.

    Raises:
        MixedSizesError: the pictures differ in size and no side is given.
        DataError: a collection cannot be read.
    """
    collections = [open_collection(file) for file in files]
    listing = [_FORMAT, shape.side, shape.squeeze, shape.limit, [collection.stamp for collection in collections]]
    stem = cache / stamp(listing)[:16]
    pixels_file, manifest_file = stem.with_suffix(".npy"), stem.with_suffix(".parquet")
    if not (manifest_file.exists() and pixels_file.exists()):  # the manifest comes last
        cache.mkdir(parents=True, exist_ok=True)
        for line in (line for collection in collections for line in left_out_lines(collection)):
            tqdm.write(line, sys.stderr)
        _decode(collections, shape, pixels_file, manifest_file)
    return pixels_file, manifest_file


def headers(files: Sequence[Path], most: int) -> pa.Table:
    """Read what files tell without being decoded, of about `most` of each collection: `Entry` and `picture_facts`."""
    facts = []
    for file in files:
        collection = open_collection(file)
        indices = sample(collection.entries, most)
        for index, data in zip(indices, collection.read(indices), strict=True):
            with suppress(OSError):
                facts.append({**vars(collection.entries[index]), **picture_facts(data)})
    return pa.Table.from_pylist(facts)


def _decode(collections: Sequence[Collection], shape: Shape, pixels_file: Path, manifest_file: Path) -> None:
    chosen = _chosen(collections, shape.limit)
    facts: list[dict[str, Any]] = []
    pixels: Any = None  # uint8 (N, H, W, 3), a map of the file once the size is known
    unreadable: list[str] = []
    half = pixels_file.with_suffix(".half")
    with (
        ThreadPoolExecutor(cores()) as pool,
        tqdm(total=sum(map(len, chosen)), desc="decode", mininterval=2, file=sys.stderr) as bar,
    ):
        for collection, indices in zip(collections, chosen, strict=True):
            entries = [collection.entries[index] for index in indices]
            for entry, decoded in zip(entries, _mapped(pool, collection.read(indices), shape), strict=True):
                bar.update()
                if isinstance(decoded, str):
                    unreadable.append(f"{entry.name} ({decoded})")
                    continue
                picture, about = decoded
                if pixels is None:
                    size = (bar.total, *picture.shape)
                    pixels = np.lib.format.open_memmap(half, mode="w+", dtype=np.uint8, shape=size)
                if picture.shape != pixels.shape[1:]:
                    raise MixedSizesError(
                        f"{entry.name} is {picture.shape[1]}x{picture.shape[0]}, those before it are "
                        f"{pixels.shape[2]}x{pixels.shape[1]}: give the recipe a side (--set side=224)"
                    )
                pixels[len(facts)] = picture
                facts.append({**_writable(vars(entry)), **about})
    if pixels is None:
        raise DataError(f"none of {len(unreadable)} pictures could be read" + "".join(f": {n}" for n in unreadable[:1]))
    if unreadable:
        tqdm.write(f"left out {len(unreadable)} files that are no sound pictures, such as {unreadable[0]}", sys.stderr)
    pixels.flush()
    os.replace(half, pixels_file)  # noqa: PTH105 (one atomic move)
    write_whole(pa.Table.from_pylist(facts), manifest_file)


def _chosen(collections: Sequence[Collection], limit: int) -> list[list[int]]:
    """Choose about `limit` entries over all collections, 0 for all: of each its share."""
    share = limit / max(sum(len(collection.entries) for collection in collections), 1)
    return [sample(collection.entries, math.ceil(share * len(collection.entries))) for collection in collections]


def write_whole(table: pa.Table, file: Path) -> None:
    """Write a Parquet file beside its place and move it there, so that none is ever found half written."""
    half = file.with_suffix(".tmp")
    pq.write_table(table, half)
    os.replace(half, file)  # noqa: PTH105 (one atomic move)


def from_cache(file: Path, read: Callable[[Path], Any]) -> Any:
    """Read a file of the cache.

    Raises:
        DataError: it is damaged; which one to delete.
    """
    try:
        return read(file)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{file} is damaged ({error}); delete it, and it is made anew") from error


def _writable(facts: dict[str, Any]) -> dict[str, Any]:
    """Escape what no text is in names of files and folders: a name in Latin-1 on a file system of UTF-8."""
    return {
        key: value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
        for key, value in facts.items()
    }


def _mapped(pool: ThreadPoolExecutor, pictures: Any, shape: Shape) -> Any:
    """Decode in threads, in order, without reading the whole collection ahead."""
    waiting: list[bytes] = []
    for picture in pictures:
        waiting.append(picture)
        if len(waiting) == _PICTURES_AT_ONCE:
            yield from pool.map(lambda data: _picture(data, shape), waiting)
            waiting = []
    yield from pool.map(lambda data: _picture(data, shape), waiting)


def _picture(data: bytes, shape: Shape) -> tuple[NDArray[np.uint8], dict[str, Any]] | str:
    """Give the picture's pixels and facts, or why there are none."""
    try:
        image: Image.Image = decode(data, max_pixels=_MAX_PIXELS).image
        about = picture_facts(data)
    except (PermanentError, OSError) as error:
        return str(error)
    if shape.side is None or image.size == (shape.side, shape.side):
        return np.asarray(image), about
    if shape.squeeze:
        return reduced_whole(image, shape.side), about
    return native_crop(image, shape.side, 0.5, 0.5), about
