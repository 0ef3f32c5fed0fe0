"""Data: collections → one array of pixels, and a manifest of what is known of each picture.

Decoding is done once: pixels are kept as `.npy` in the cache and memory-mapped afterwards, the manifest beside them as
Parquet. Their name holds a hash of the collections' listings, so changed data is decoded anew.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from training.drawings import draw_picture
from training.generator import generate
from training.pixels import Shape, decoded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from training.recipe import Recipe


MADE_SIDE = 224
# The demo and the tests draw seeds below this one, so no detector has seen what it is shown there.
FIRST_TRAINING_SEED = 10_000


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


def recipe_rows(recipe: Recipe, data: Path, cache: Path) -> Rows:
    """Load everything a recipe trains on and holds out; what a collection calls its test part stays untouched."""
    rows = all_rows(recipe, data, cache)
    return rows.take(np.flatnonzero(rows.parts != "test")) if (rows.parts == "test").any() else rows


def all_rows(recipe: Recipe, data: Path, cache: Path) -> Rows:
    """Load everything there is, test parts included."""
    return load_rows(recipe_places(recipe, data, cache), cache, recipe.shape)


def recipe_places(recipe: Recipe, data: Path, cache: Path) -> list[Path]:
    """Name the recipe's own files where `data` is a folder that has them, else `data` itself; then what we make."""
    files = [data / file for file in recipe.files]
    places = files if files and all(file.exists() for file in files) else [data]
    return places + [made_pictures(kind, count, cache) for kind, count in recipe.made.items()]


def made_pictures(kind: str, count: int, cache: Path) -> Path:
    """Make `count` pictures of 224x224 once, as JPEG of quality 82 to 95 like the collections' crops.

    Args:
        kind: `drawings` (not AI-generated) or `assay_generator` (our own diffusion model, seeds from 10,000).
        count: how many.
        cache: where the Parquet file is kept.
    """
    file = cache / f"{kind}-{count}.parquet"
    if file.exists():
        return file
    rows: list[dict[str, Any]] = []
    for seed in tqdm(range(count), desc=f"make {kind}", mininterval=5):
        if kind == "drawings":
            source, picture = draw_picture(seed, MADE_SIDE)
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
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file


def load_rows(files: Sequence[Path], cache: Path, shape: Shape | None = None) -> Rows:
    """Decode every picture of the collections, or map the arrays decoded earlier.

    Args:
        files: Parquet files, folders of pictures or CSV files; see `training.image_folder`.
        cache: a folder that may be written to.
        shape: how pictures become arrays of one size; without it they must be of one size.

    Raises:
        DataError: a collection cannot be read, or its pictures differ in size and no side is given.
    """
    pixels_file, manifest_file = decoded(files, cache, shape or Shape())
    facts = pq.read_table(manifest_file, columns=["label", "source", "generator", "sha256", "part"]).to_pydict()
    return Rows(
        pixels=np.load(pixels_file, mmap_mode="r")[: len(facts["label"])],
        labels=np.array(facts["label"], dtype=np.int8),
        sources=np.array(facts["source"], dtype=np.str_),
        generators=np.array(facts["generator"], dtype=np.str_),
        hashes=np.array(facts["sha256"], dtype=np.str_),
        parts=np.array(facts["part"], dtype=np.str_),
    )


def load_manifest(files: Sequence[Path], cache: Path, shape: Shape | None = None) -> pa.Table:
    """Give what is known of each picture, in the order of `load_rows`: `Entry` and `training.picture_facts`."""
    return pq.read_table(decoded(files, cache, shape or Shape())[1])


def content_hashes(images: Sequence[bytes]) -> list[str]:
    """Name encoded images by their sha256."""
    return [hashlib.sha256(image).hexdigest() for image in images]


def split(rows: Rows, recipe: Recipe) -> tuple[Rows, Rows]:
    """Part the rows into (training, held out), by source where the recipe names sources, else by content hash.

    What a collection calls its part `held_out` is held out too. Either way no source, and no content, is on both sides:
    what occurs among the held-out rows is not trained on. A share of them may be left for the gate and is in neither.
    """
    out = _held_out(rows, recipe)
    kept = ~out & ~np.isin(rows.hashes, rows.hashes[out])
    calibrated = out & ~_for_gate(rows, recipe)
    return rows.take(np.flatnonzero(kept)), rows.take(np.flatnonzero(calibrated))


def gate_rows(rows: Rows, recipe: Recipe) -> Rows:
    """Give the held-out rows that are left for the gate."""
    return rows.take(np.flatnonzero(_held_out(rows, recipe) & _for_gate(rows, recipe)))


def _held_out(rows: Rows, recipe: Recipe) -> NDArray[np.bool_]:
    if recipe.held_out_sources:
        missing = set(recipe.held_out_sources) - set(rows.sources.tolist())
        if missing:
            message = (
                f"held-out sources that the data lacks: {sorted(missing)}; name others in held_out_sources, "
                "or leave it empty and give a held_out_share"
            )
            raise ValueError(message)
        out = np.isin(rows.sources, recipe.held_out_sources)
    else:
        out = content_places(rows) < recipe.held_out_share
    return np.asarray(out | (rows.parts == "held_out"))


def _for_gate(rows: Rows, recipe: Recipe) -> NDArray[np.bool_]:
    return np.asarray(content_places(rows, digits=slice(8, 16)) < recipe.gate_share)


def content_places(rows: Rows, digits: slice = slice(8)) -> NDArray[np.float64]:
    """Give each content a fixed place in [0, 1), (N,); shares of a data set are cut along it.

    Args:
        rows: N of them.
        digits: eight of the hash; places by other digits are independent of these.
    """
    return np.array([int(text[digits] or "0", 16) for text in rows.hashes.tolist()], dtype=np.float64) / 2.0**32
