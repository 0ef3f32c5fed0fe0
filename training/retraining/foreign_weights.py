"""What a request for a training run may name: files of the data folder, and weights where a setting allows it.

Errors speak of the data folder alone, so nobody learns from them which other files this machine has.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePath

from training.data.collection import DataError
from training.recipe import DetectorRecipe, Recipe, RecipeError

_HUB = "hf-hub:"


def place_in_data(name: str, root: Path | None) -> Path:
    """Give the path of a file or folder of the training worker's data folder, `root`.

    Raises:
        DataError: no such folder is set, or the name is not in it.
    """
    if root is None:
        raise DataError(f"{name} is wanted: set ASSAY_TRAINING_DATA on the training worker to the folder that holds it")
    place = (root / name).resolve()
    climbs = PurePath(name).is_absolute() or ".." in PurePath(name).parts
    if climbs or not place.is_relative_to(root.resolve()) or not place.exists():
        raise DataError(f"there is no {name} in the training worker's data folder")
    return place


def with_allowed_weights(own: Recipe, changed: Recipe, root: Path | None, *, foreign: bool) -> Recipe:
    """Give the changed recipe, its weights' files by their full paths; what the recipe itself names is always allowed.

    Args:
        own: the recipe as it is.
        changed: the recipe as it was asked for.
        root: the training worker's data folder.
        foreign: whether other weights may be named.

    Raises:
        RecipeError: the changes name weights or a network by path or hub id, and that is not allowed.
        DataError: they name a file that is not in the data folder.
    """
    before = {part.name: part for part in own.detectors}
    parts = tuple(_allowed(before.get(part.name), part, root, foreign=foreign) for part in changed.detectors)
    return replace(changed, detectors=parts)


def _allowed(
    before: DetectorRecipe | None, part: DetectorRecipe, root: Path | None, *, foreign: bool
) -> DetectorRecipe:
    model, pretrained = part.architecture.get("model"), part.pretrained
    is_new = before is None or model != before.architecture.get("model")
    if is_new and isinstance(model, str) and set(":/\\") & set(model):
        _check_allowed(model, foreign=foreign)
        if not model.startswith(_HUB):
            raise RecipeError(f"{model} is no hub id: write {_HUB}ORGANISATION/NAME")
    if not isinstance(pretrained, str) or (before is not None and pretrained == before.pretrained):
        return part
    _check_allowed(pretrained, foreign=foreign)
    is_file = pretrained.endswith(".safetensors")
    return replace(part, pretrained=str(place_in_data(pretrained, root)) if is_file else pretrained)


def _check_allowed(place: str, *, foreign: bool) -> None:
    if not foreign:
        raise RecipeError(
            f"weights {place} are not the recipe's own: set ASSAY_TRAINING_FOREIGN_WEIGHTS=true on the training worker "
            "to allow others, or put them into a recipe of yours"
        )
