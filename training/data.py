"""Data: Parquet files → one array of pixels, with labels, sources and content hashes beside it.

Decoding is done once: the arrays are cached as `.npy` beside the run and memory-mapped afterwards. The cache's name
holds a hash of the files' names, sizes and times, so changed files are decoded anew.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from tqdm import tqdm

from training.drawings import draw_picture
from training.generator import generate

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
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int8]
    sources: NDArray[np.str_]
    generators: NDArray[np.str_]
    hashes: NDArray[np.str_]

    def __len__(self) -> int:
        """Count the images."""
        return len(self.labels)

    def take(self, which: NDArray[Any]) -> Rows:
        """Select rows by index or mask."""
        return Rows(
            self.pixels[which], self.labels[which], self.sources[which], self.generators[which], self.hashes[which]
        )


def recipe_rows(recipe: Recipe, data: Path, cache: Path) -> Rows:
    """Load everything a recipe trains on: the data's files, and the pictures we make ourselves."""
    files = [data / file for file in recipe.files]
    files += [made_pictures(kind, count, cache) for kind, count in recipe.made.items()]
    return load_rows(files, cache)


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


def load_rows(files: Sequence[Path], cache: Path) -> Rows:
    """Decode every row of the files, or map the arrays decoded earlier.

    Args:
        files: Parquet files with `image` and `label`, and perhaps `source` and `generator`; images of one size.
        cache: a folder that may be written to.
    """
    stamp = json.dumps([[f.name, f.stat().st_size, f.stat().st_mtime_ns] for f in files])
    stem = cache / hashlib.sha256(stamp.encode()).hexdigest()[:16]
    pixels_file, facts_file = stem.with_suffix(".npy"), stem.with_suffix(".json")
    if not facts_file.exists():
        _decode(files, pixels_file, facts_file)
    facts = json.loads(facts_file.read_text(encoding="utf-8"))
    return Rows(
        pixels=np.load(pixels_file, mmap_mode="r"),
        labels=np.array(facts["label"], dtype=np.int8),
        sources=np.array(facts["source"]),
        generators=np.array(facts["generator"]),
        hashes=np.array(facts["sha256"]),
    )


def _decode(files: Sequence[Path], pixels_file: Path, facts_file: Path) -> None:
    pixels: list[NDArray[np.uint8]] = []
    facts: dict[str, list[Any]] = {"label": [], "source": [], "generator": [], "sha256": []}
    for file in files:
        table = pq.read_table(file)
        for row in tqdm(table.to_pylist(), desc=f"decode {file.name}", mininterval=5):
            pixels.append(np.asarray(Image.open(io.BytesIO(row["image"])).convert("RGB")))
            facts["label"].append(int(row["label"]))
            facts["source"].append(row.get("source") or file.stem.split("-")[0])
            facts["generator"].append(row.get("generator") or ("unknown" if row["label"] else "real"))
            facts["sha256"].append(hashlib.sha256(row["image"]).hexdigest())
    pixels_file.parent.mkdir(parents=True, exist_ok=True)
    np.save(pixels_file, np.stack(pixels))
    facts_file.write_text(json.dumps(facts), encoding="utf-8")


def content_hashes(images: Sequence[bytes]) -> list[str]:
    """Name encoded images by their sha256."""
    return [hashlib.sha256(image).hexdigest() for image in images]


def split(rows: Rows, recipe: Recipe) -> tuple[Rows, Rows]:
    """Part the rows into (training, held out), by source where the recipe names sources, else by content hash.

    Either way no source, or no content, is on both sides.
    """
    if recipe.held_out_sources:
        missing = set(recipe.held_out_sources) - set(rows.sources.tolist())
        if missing:
            message = f"held-out sources that the data lacks: {sorted(missing)}"
            raise ValueError(message)
        out = np.isin(rows.sources, recipe.held_out_sources)
    else:
        places = np.array([int(h[:8], 16) for h in rows.hashes.tolist()], dtype=np.float64) / 2.0**32
        out = places < recipe.held_out_share
    return rows.take(np.flatnonzero(~out)), rows.take(np.flatnonzero(out))
