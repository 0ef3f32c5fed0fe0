"""Data of a training run: labels, S3 prefixes and the recipe's own files → one folder, and a recipe that reads it.

The folder looks the same wherever the run goes on: links to files that are there already, and a Parquet file of the
labelled images, which are named by the numbers of their rows so that what is kept of a run names nobody's upload.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, replace
from io import BytesIO
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
from PIL import Image

from training.data.collection import DataError, stamp
from training.data.image_folder import open_collection
from training.recipe import Recipe, RecipeError, with_minutes
from training.recipe_file import load_recipe
from training.retraining.foreign_weights import place_in_data, with_allowed_weights
from training.retraining.labelled_bucket import LabelledImage, bucket_and_prefix, fetch, labelled_images

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.orm import Session

    from training.retraining.order import DataSources, RunOrder
    from worker.database.label_agreement import LabelTerms
    from worker.database.session import Database
    from worker.objects.object_store import ObjectStore

LABELS = "labels.parquet"
# Of the labels; half of them calibrate, half are for the gate.
LABELS_HELD_OUT, GATE_SHARE = 0.5, 0.5
_HELD_OUT_DIGITS = slice(16, 24)


@dataclass(frozen=True)
class RunData:
    """What a run trains on.

    Attributes:
        recipe: reads the folder, and leaves a share of what is held out for the gate.
        folder: links and the labels' file.
        images: the labelled images, in the file's order but for those that are gone.
        labels_file: their Parquet file.
    """

    recipe: Recipe
    folder: Path
    images: list[LabelledImage]
    labels_file: Path


def recipe_of(order: RunOrder, sources: DataSources) -> Recipe:
    """Read the recipe that an order names, the platform's own first, and change it as asked.

    Raises:
        RecipeError: there is none, it cannot be read, it makes no bundle, or the changes name weights that may not be
            named.
    """
    own = sources.recipes / f"{order.recipe}.toml" if sources.recipes else None
    place = str(own) if own and own.is_file() else order.recipe
    recipe = load_recipe(place, order.changes)
    recipe = with_allowed_weights(load_recipe(place), recipe, sources.files, foreign=sources.foreign_weights)
    if recipe.kind != "bundle":
        raise RecipeError(f"recipe {order.recipe} makes no bundle; train it with `assay train`")
    return recipe if order.minutes is None else with_minutes(recipe, float(order.minutes))


def agreed(session: Session, order: RunOrder, terms: LabelTerms) -> list[LabelledImage]:
    """List the images that a run's labels are of: those below the prefixes it names, or all.

    Raises:
        DataError: prefixes are named and on nothing below them do reviewers agree.
    """
    prefixes = [bucket_and_prefix(place) for place in order.prefixes]
    images = labelled_images(session, terms, prefixes, order.labels_until)
    if prefixes and not images:
        below = " or ".join(order.prefixes)
        raise DataError(f"on no image below {below} do {terms.reviewers} reviewers agree; label images first")
    return images


def gather(  # noqa: PLR0917 (a step's whole input)
    recipe: Recipe, order: RunOrder, work: Path, database: Database, objects: ObjectStore, sources: DataSources
) -> RunData:
    """Bring the run's data together in `work`; what was fetched in an earlier life of the run is not fetched again.

    Unless it lists other images now: one of them was erased, or came again under another key.

    Raises:
        AssayError: something that was asked for is not there; the message says what to do.
    """
    folder = work / "data"
    folder.mkdir(parents=True, exist_ok=True)
    files = [_linked(folder, name, sources.files) for name in (*recipe.files, *order.files)]
    with database.transaction() as session:
        images = agreed(session, order, sources.terms)
    labels_file = folder / LABELS
    _forget_others(images, labels_file, work)
    if images:
        fetch(images, objects, labels_file, sources.max_image_bytes, _naming)
        files.append(LABELS)
    if not files and not recipe.made:
        raise DataError("there is nothing to train on: no labels that reviewers agree on, no files; name data")
    changed = replace(
        recipe,
        files=tuple(files),
        gate_share=GATE_SHARE,
        show_views=False,
        side=recipe.side or _side_of(folder, files),
    )
    return RunData(changed, folder, images, labels_file)


def _forget_others(images: list[LabelledImage], labels_file: Path, work: Path) -> None:
    """Delete what an earlier life of the run fetched and decoded, should it not be of these very images."""
    mark, listed = labels_file.with_suffix(".listed"), stamp([[image.image_pk, image.label] for image in images])
    if labels_file.exists() and not (mark.exists() and mark.read_text(encoding="utf-8") == listed):
        labels_file.unlink()
        shutil.rmtree(work / "out" / "cache", ignore_errors=True)
        for file in (work / "out").glob("*/features.*"):  # of a frozen tower, row by row
            file.unlink()
    mark.write_text(listed, encoding="utf-8")


def _naming(image: LabelledImage, data: bytes) -> tuple[str, str]:
    place = int(hashlib.sha256(data).hexdigest()[_HELD_OUT_DIGITS], 16) / 2.0**32
    return f"image:{image.image_pk}", "held_out" if place < LABELS_HELD_OUT else ""


def _linked(folder: Path, name: str, root: Path | None) -> str:
    """Link a file or folder of the training worker's data into the run's; nothing outside of it can be named."""
    place = place_in_data(name, root)
    link = folder / name
    if not link.exists():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(place)
    return name


def _side_of(folder: Path, files: list[str]) -> int | None:
    """Give labelled images, which come in all sizes, the side of the recipe's own pictures."""
    if LABELS not in files:
        return None
    others = [name for name in files if name != LABELS]
    if not others:
        raise DataError("labelled images come in all sizes: add `side=224`, or another, to `changes`")
    first = next(iter(open_collection(folder / others[0]).read([0])))
    with Image.open(BytesIO(first)) as picture:
        return min(picture.size)


def contents_of(file: Path) -> dict[str, str]:
    """Give the content hash of each labelled image that was fetched, by its name `image:ROW`."""
    if not file.exists():
        return {}
    rows = pq.read_table(file, columns=["name", "image"]).to_pylist()
    return {row["name"]: hashlib.sha256(row["image"]).hexdigest() for row in rows}
