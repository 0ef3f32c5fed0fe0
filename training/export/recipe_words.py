"""Words of a recipe: what it says of its own data and trials, taken back where a run was of anything else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from training.recipe import RecipeError, smoke, with_minutes
from training.recipe_file import load_recipe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from training.recipe import Recipe

SMOKE = "a smoke run, on few pictures and for a few steps, to show that everything works: it is worth nothing"
# Of a run on the recipe's own files, all of them; everything else on its card is of any run.
_OF_ITS_OWN_RUN = ("title", "data", "licences", "tried", "known_weaknesses")
# What decides which images a run is of.
_OF_DATA = ("files", "limit", "made", "held_out_sources", "held_out_share", "disjoint", "gate_share")
_UNDESCRIBED = "images like those held out of its own data, which nobody has described"


def in_own_words(recipe: Recipe, data: Path) -> Recipe:
    """Keep what a recipe says of its data and trials only where the run is of its own files, whole and parted alike.

    What somebody else wrote (`--set card.licences=…`, `--set scope=…`) stays: it is theirs to answer for. So does what
    a recipe without files of its own says.
    """
    try:
        shipped = load_recipe(recipe.name)
    except RecipeError:  # a recipe that does not ship; its file is not known here
        shipped = replace(recipe, limit=0)
    theirs = bool(recipe.files) and all((data / file).exists() for file in recipe.files)
    if not shipped.files or (theirs and all(getattr(recipe, key) == getattr(shipped, key) for key in _OF_DATA)):
        return recipe
    return _without_words_of(recipe, shipped, same_files=theirs and recipe.files == shipped.files)


def _without_words_of(recipe: Recipe, shipped: Recipe, *, same_files: bool) -> Recipe:
    """Take back what the shipped recipe says of its own run alone."""
    own = _OF_ITS_OWN_RUN
    card = {key: words for key, words in recipe.card.items() if key not in own or words != shipped.card.get(key)}
    scope = _UNDESCRIBED if recipe.scope == shipped.scope and not same_files else recipe.scope
    return replace(recipe, card={"title": recipe.name, **card}, scope=scope)


def is_smoke(recipe: Recipe) -> bool:
    """Tell whether `training.recipe.smoke` has shrunk it, whatever the minutes: shrinking it again changes nothing."""
    return with_minutes(smoke(recipe), 0.0) == with_minutes(recipe, 0.0)


def certifies(held_out_sources: Sequence[str], *, by_source: bool) -> str:
    """Say what the certificate is of, and what else the card has for images from elsewhere."""
    if by_source and held_out_sources:
        elsewhere = "the rates by source, each from a fit that never saw the source, show how far they differ"
    elif held_out_sources:
        elsewhere = "detectors never saw the held-out sources, fusion and thresholds saw other images of them"
    else:
        elsewhere = "images were held out by content or as the data says: nothing here tells of sources that it lacks"
    return (
        "The upper threshold's false-positive bound holds for images like the calibration sources' and for no others; "
        f"{elsewhere}."
    )


def selection(card: Mapping[str, Any]) -> str:
    """Say what a card's held-out figures cannot: that the split was one, and that choices were made on it."""
    by = "of whole sources" if card.get("held_out_sources") else "by content, at random"
    tried = (
        "The trials under `tried` were chosen between on the same held-out images, so the figures flatter what was "
        "kept; no further images decide."
        if card.get("tried")
        else "Whoever keeps the best of several runs by these figures chooses on the images that they are of."
    )
    return f"The detectors were trained once, with one split {by}. {tried}"


def told_of(recipe: Recipe) -> dict[str, Any]:
    """Give what goes onto the card of a recipe: its words, its weaknesses, and whether it was a smoke run."""
    smoked = is_smoke(recipe)
    weak = [*([SMOKE] if smoked else []), *recipe.card.get("known_weaknesses", ())]
    return {**recipe.card, "scope": recipe.scope, **({"smoke": True} if smoked else {}), "known_weaknesses": weak}
