"""Data: collections → one array of pixels, and a manifest of what is known of each picture.

Decoding is done once: pixels are kept as `.npy` in the cache and memory-mapped afterwards, the manifest beside them as
Parquet. Their name holds a hash of the collections' listings, so changed data is decoded anew.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field, fields
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from training.data import drawings, renderings
from training.data.collection import DataError, parquet_files
from training.data.image_folder import open_collection
from training.data.pixels import Shape, decoded, from_cache, write_whole
from training.data.shares import content_places, whole_sources
from training.generator.draw import generate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from training.recipe import Recipe


MADE_SIDE = 224
# The demo and the tests draw seeds below this one, so no detector has seen what it is shown there.
FIRST_TRAINING_SEED = 10_000
_BY_PROGRAMS = {"drawings": drawings.draw_picture, "renderings": renderings.render_picture}


@dataclass(frozen=True)
class Rows:
    """Images of one size with what is known of each; all arrays have the same first dimension N.

    Attributes:
        pixels: uint8, (N, H, W, 3).
        labels: int8, (N,), 1 = AI-generated.
        sources: text, (N,).
        generators: text, (N,).
        hashes: text, (N,), sha256 of the encoded image.
        parts: text, (N,), `training`, `validation` or `test` where the collection is split already, else empty.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int8]
    sources: NDArray[np.str_]
    generators: NDArray[np.str_]
    hashes: NDArray[np.str_]
    parts: NDArray[np.str_] = field(default_factory=lambda: np.empty(0, dtype=np.str_))

    def __post_init__(self) -> None:
        """Fill in that no row belongs to a part, where nothing is said."""
        if not len(self.parts):
            object.__setattr__(self, "parts", np.full(len(self.labels), "", dtype=np.str_))

    def __len__(self) -> int:
        """Count the images."""
        return len(self.labels)

    def take(self, which: NDArray[Any]) -> Rows:
        """Select rows by index or mask."""
        return Rows(
            self.pixels[which],
            self.labels[which],
            self.sources[which],
            self.generators[which],
            self.hashes[which],
            self.parts[which],
        )


def joined(parts: Sequence[Rows]) -> Rows:
    """Put rows behind each other."""
    return Rows(*(np.concatenate([getattr(one, part.name) for one in parts]) for part in fields(Rows)))


def recipe_rows(recipe: Recipe, data: Path, cache: Path) -> Rows:
    """Load everything a recipe trains on and holds out; what a collection calls its test part stays untouched."""
    rows = all_rows(recipe, data, cache)
    return rows.take(np.flatnonzero(rows.parts != "test")) if (rows.parts == "test").any() else rows


def all_rows(recipe: Recipe, data: Path, cache: Path) -> Rows:
    """Load everything there is, test parts included.

    Raises:
        DataError: as `load_rows`, or the recipe holds out sources that the data lacks; told before anything is made.
    """
    if recipe.held_out_sources:
        listed = [open_collection(place) for place in _own_places(recipe, data)]
        sources = {entry.source for collection in listed for entry in collection.entries}
        _check_named(recipe, sources | _made_sources(recipe))
    return load_rows(recipe_places(recipe, data, cache), cache, recipe.shape)


def recipe_places(recipe: Recipe, data: Path, cache: Path) -> list[Path]:
    """Name the recipe's own files where `data` is a folder that has them, else what is there; then what we make.

    Of a folder with Parquet files of pictures that is each of them, as of a downloaded Hugging Face data set's.
    """
    return _own_places(recipe, data) + [made_pictures(kind, count, cache) for kind, count in recipe.made.items()]


def _own_places(recipe: Recipe, data: Path) -> list[Path]:
    files = [data / file for file in recipe.files]
    if files and all(file.exists() for file in files):
        return files
    return parquet_files(data) or [data]


def _made_sources(recipe: Recipe) -> set[str]:
    drawn = list(drawings.KINDS)[: recipe.made.get("drawings", 0)]
    rendered = list(renderings.KINDS)[: recipe.made.get("renderings", 0)]
    return {*drawn, *rendered, *(kind for kind in recipe.made if kind not in _BY_PROGRAMS)}


def made_pictures(kind: str, count: int, cache: Path) -> Path:
    """Make `count` pictures of 224x224 once, as JPEG of quality 82 to 95 like the collections' crops.

    Args:
        kind: `drawings` or `renderings` (not AI-generated), or `assay_generator` (our own diffusion model, seeds from
            10,000).
        count: how many.
        cache: where the Parquet file is kept.

    Raises:
        DataError: there is no such kind.
    """
    if kind not in {*_BY_PROGRAMS, "assay_generator"}:
        raise DataError(f"nothing here makes {kind!r}; there are drawings, renderings and assay_generator")
    file = cache / f"{kind}-{count}.parquet"
    if file.exists():
        return file
    rows: list[dict[str, Any]] = []
    for seed in tqdm(range(count), desc=f"make {kind}", mininterval=5):
        if kind in _BY_PROGRAMS:
            source, picture = _BY_PROGRAMS[kind](seed, MADE_SIDE)
            facts = {"label": 0, "source": source, "generator": "program"}
        else:
            picture = generate(FIRST_TRAINING_SEED + seed, 256)
            left, top = (int(v) for v in np.random.default_rng(seed).integers(0, 256 - MADE_SIDE + 1, 2))
            picture = picture.crop((left, top, left + MADE_SIDE, top + MADE_SIDE))
            facts = {"label": 1, "source": kind, "generator": kind}
        buffer = io.BytesIO()
        picture.save(buffer, format="JPEG", quality=int(np.random.default_rng((seed, 1)).integers(82, 96)))
        rows.append({"image": buffer.getvalue(), **facts})
    cache.mkdir(parents=True, exist_ok=True)
    write_whole(pa.Table.from_pylist(rows), file)
    return file


def load_rows(files: Sequence[Path], cache: Path, shape: Shape | None = None) -> Rows:
    """Decode every picture of the collections, or map the arrays decoded earlier.

    Args:
        files: Parquet files, folders of pictures or CSV files; see `training.data.image_folder`.
        cache: a folder that may be written to.
        shape: how pictures become arrays of one size; without it they must be of one size.

    Raises:
        DataError: a collection cannot be read, or its pictures differ in size and no side is given.
    """
    pixels_file, manifest_file = decoded(files, cache, shape or Shape())
    columns = ["label", "source", "generator", "sha256", "part"]
    facts = from_cache(manifest_file, partial(pq.read_table, columns=columns)).to_pydict()
    return Rows(
        pixels=from_cache(pixels_file, partial(np.load, mmap_mode="r"))[: len(facts["label"])],
        labels=np.array(facts["label"], dtype=np.int8),
        sources=np.array(facts["source"], dtype=np.str_),
        generators=np.array(facts["generator"], dtype=np.str_),
        hashes=np.array(facts["sha256"], dtype=np.str_),
        parts=np.array(facts["part"], dtype=np.str_),
    )


def load_manifest(files: Sequence[Path], cache: Path, shape: Shape | None = None) -> pa.Table:
    """Give what is known of each picture, in the order of `load_rows`: `Entry` and `training.data.picture_facts`."""
    table: pa.Table = from_cache(decoded(files, cache, shape or Shape())[1], pq.read_table)
    return table


def content_hashes(images: Sequence[bytes]) -> list[str]:
    """Name encoded images by their sha256."""
    return [hashlib.sha256(image).hexdigest() for image in images]


def split(rows: Rows, recipe: Recipe) -> tuple[Rows, Rows]:
    """Part the rows into (training, held out), by source where the recipe asks for it, else by content hash.

    What a collection calls its part `held_out` is held out too. Either way no content is on both sides: what occurs
    among the held-out rows is not trained on. A share of them may be left for the gate and is in neither.

    Raises:
        DataError: the recipe names sources that the rows lack.
    """
    out = _held_out(rows, recipe)
    kept = ~out & ~np.isin(rows.hashes, rows.hashes[out])
    calibrated = out & ~_for_gate(rows, recipe)
    return rows.take(np.flatnonzero(kept)), rows.take(np.flatnonzero(calibrated))


def gate_rows(rows: Rows, recipe: Recipe) -> Rows:
    """Give the held-out rows that are left for the gate."""
    return rows.take(np.flatnonzero(_held_out(rows, recipe) & _for_gate(rows, recipe)))


def held_out_sources(rows: Rows, recipe: Recipe) -> tuple[str, ...]:
    """Name the sources that are held out whole; empty where rows are held out by content.

    They are those that the recipe names, or with `disjoint = "source"` those chosen to make up its `held_out_share`.
    A source that comes with a part `held_out` of its own is not among the latter; test parts are not looked at.
    """
    if recipe.held_out_sources or recipe.disjoint != "source" or not recipe.held_out_share:
        return recipe.held_out_sources
    whole = ~np.isin(rows.sources, rows.sources[rows.parts == "held_out"]) & (rows.parts != "test")
    sources = rows.sources[whole]
    chosen = whole_sources(rows.labels[whole], sources, recipe.held_out_share)
    return () if chosen is None else tuple(np.unique(sources[chosen]).tolist())


def held_out_note(sources: Sequence[str], recipe: Recipe) -> str:
    """Say in a line how rows are held out, and what figures on them therefore tell; `sources` as just named."""
    if sources:
        return f"held out as whole sources, which nothing is fitted on: {', '.join(sources)}\n"
    if recipe.disjoint == "source":
        hint = ", the sources being too few to hold whole ones out"
    else:
        hint = " (--set disjoint=source holds out whole ones)"
    return f"held out by content: sources are on both sides{hint}; figures say nothing of sources that the data lacks\n"


def _held_out(rows: Rows, recipe: Recipe) -> NDArray[np.bool_]:
    _check_named(recipe, set(rows.sources.tolist()))
    sources = held_out_sources(rows, recipe)
    out = np.isin(rows.sources, sources) if sources else content_places(rows.hashes) < recipe.held_out_share
    return np.asarray(out | (rows.parts == "held_out"))


def _check_named(recipe: Recipe, sources: set[str]) -> None:
    missing = sorted(set(recipe.held_out_sources) - sources)
    if missing:
        raise DataError(
            f"recipe {recipe.name} holds out sources that the data lacks: {', '.join(missing)}; name others in "
            "held_out_sources, or hold out a share instead: --set 'held_out_sources=[]' --set held_out_share=0.1 "
            "--set disjoint=source"
        )


def _for_gate(rows: Rows, recipe: Recipe) -> NDArray[np.bool_]:
    return np.asarray(content_places(rows.hashes, digits=slice(8, 16)) < recipe.gate_share)
