"""Recipes as people write them: TOML files in `training/recipes`, and changes of single values."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError

from training.recipe import DetectorRecipe, Fit, Recipe, RecipeError
from worker.images.views import ViewPlan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RECIPES = Path(__file__).parent / "recipes"
_FOR_EVERY_DETECTOR = ("fit", "views", "architecture", "pretrained")
_Part = TypeVar("_Part")


def load_recipe(name_or_path: str, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe by name (a file in `training/recipes`) or by path.

    Args:
        name_or_path: such as `cifake`, `seeds/resnet18-frozen`, or a TOML file.
        changes: `key=value` each, the value as in TOML (a bare word is text). `limit=500` sets the recipe's own,
            `detectors.clip.fit.epochs=3` one detector's, `fit.epochs=3` every detector's.

    Raises:
        RecipeError: there is none, or it or a change cannot be read.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = RECIPES / f"{name_or_path}.toml"
    if not path.is_file():
        names = sorted(file.relative_to(RECIPES).with_suffix("").as_posix() for file in RECIPES.rglob("*.toml"))
        raise RecipeError(f"there is no recipe {name_or_path!r}; there are {', '.join(names)}, or name a TOML file")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        for change in changes:
            _change(table, change)
        return _recipe(table)
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise RecipeError(f"recipe {path.name} cannot be read: {error}") from error


def _recipe(table: dict[str, Any]) -> Recipe:
    pretrained = table.pop("pretrained", None)
    by_name = table.pop("detectors", None)
    if not isinstance(by_name, dict) or not by_name:
        raise ValueError("it wants at least one table [detectors.NAME]")
    kind = "classifier" if table.get("kind") == "classifier" else ""
    detectors = []
    for name, part in by_name.items():
        at = f"detectors.{name}."
        values = {"name": name, "pretrained": pretrained, "kind": kind or name, **_table(part, at)}
        values["views"] = _made(ViewPlan, _table(values.get("views"), f"{at}views."), f"{at}views.")
        values["fit"] = _made(Fit, _several(_table(values.get("fit"), f"{at}fit.")), f"{at}fit.")
        detectors.append(_made(DetectorRecipe, values, at))
        _refuse_idle_cutout(detectors[-1], at)
    return _made(Recipe, {"files": (), **_several(table), "detectors": tuple(detectors)})


def _several(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}


def _refuse_idle_cutout(part: DetectorRecipe, at: str) -> None:
    """Refuse a cutout that leaves nothing to see, or that nothing would do."""
    if part.fit.cutout >= part.views.size:
        raise ValueError(f"{at}fit.cutout = {part.fit.cutout} hides all of a view of {part.views.size} pixels")
    if part.fit.cutout and part.fit.head == "logistic":
        raise ValueError(f"{at}fit.cutout is not for head = 'logistic', whose features are cached")


def _table(value: Any, at: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        instead = "it is missing" if value is None else f"not {value!r}"
        raise TypeError(f"{at.removesuffix('.')} must be a table, {instead}")
    return value


def _made(kind: type[_Part], values: Mapping[str, Any], at: str = "") -> _Part:
    """Make a part of a recipe of values that its annotations allow; they are kept as they were written."""
    hints = get_type_hints(kind, include_extras=True)
    for key, value in values.items():
        if key not in hints:
            raise ValueError(f"{at}{key} is unknown; there are {', '.join(hints)}")
        try:
            TypeAdapter(hints[key]).validate_python(value, strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            inner = ".".join(str(place) for place in first["loc"])
            raise ValueError(f"{at}{key} = {value!r}: {first['msg']}" + (f" ({inner})" if inner else "")) from error
    return kind(**values)


def _change(table: dict[str, Any], change: str) -> None:
    key, equals, text = change.partition("=")
    if not equals:
        raise ValueError(f"{change!r} is no key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    first, *inner = key.split(".")
    owners = [table]
    if first in _FOR_EVERY_DETECTOR:
        owners = list(table["detectors"].values())
    elif first == "detectors" and inner and inner[0] not in table["detectors"]:
        raise ValueError(f"there is no detector {inner[0]!r}; there are {', '.join(table['detectors'])}")
    for owner in owners:
        place = owner
        for name in (first, *inner)[:-1]:
            place = _table(place.setdefault(name, {}), name)
        place[(first, *inner)[-1]] = value
