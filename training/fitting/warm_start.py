"""Warm start: a run that begins with the weights of a bundle instead of fresh ones, or keeps some as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from training.fitting.run import CHECKPOINT, Run
from training.fitting.schedule import AveragedWeights
from training.recipe import RecipeError
from worker.bundles.folder import read_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from training.recipe import DetectorRecipe, Recipe
    from worker.detectors.detector import Detector


_KEPT_FROM = "kept_from.txt"
_OF_TRAINING = ("patch_dropout", "frozen")  # change nothing of what weights mean


def begin_from(run: Run, folder: Path) -> None:
    """Load a detector's weights out of a bundle, head included; raises as `take_weights`."""
    take_weights(run.detector, run.recipe, folder)
    run.averaged = AveragedWeights(run.detector.network)


def keep_others(recipe: Recipe, out: Path, folder: Path) -> None:
    """Put the detectors that a run has not fitted into its folder, finished, as a bundle has them.

    Those that were taken from a bundle before are taken from this one.

    Raises:
        RecipeError, BundleError: as `take_weights`.
    """
    for part in recipe.detectors:
        run, note = Run(part, out / part.name, "cpu"), out / part.name / _KEPT_FROM
        if (run.folder / CHECKPOINT).exists() and not note.exists():
            continue
        begin_from(run, folder)
        run.at.stopped = True
        # First: a checkpoint that a kill left without it would pass for fitted. With it, this is done again.
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(read_bundle(folder).version(), encoding="utf-8")
        run.save()


def kept_from(recipe: Recipe, out: Path) -> dict[str, str]:
    """Name the bundles that detectors of a run were taken from, by detector; those that it fitted are left out."""
    notes = {part.name: out / part.name / _KEPT_FROM for part in recipe.detectors}
    return {name: note.read_text(encoding="utf-8") for name, note in notes.items() if note.exists()}


def take_weights(detector: Detector, recipe: DetectorRecipe, folder: Path) -> None:
    """Load the weights that a bundle has of a recipe's detector into it.

    Raises:
        RecipeError: the bundle has no detector of this name, or one of another architecture.
        BundleError: the folder holds no sound bundle.
    """
    parts = read_bundle(folder)
    if recipe.name not in parts.detectors:
        names = ", ".join(parts.detectors)
        raise RecipeError(f"bundle {parts.version()} has no detector {recipe.name!r}; it has {names}")
    part = parts.detectors[recipe.name]
    theirs, ours = _facts(part.architecture), _facts(recipe.architecture)
    # Not by the weights' shapes alone: another activation would take them all and make something else of them.
    other = sorted(key for key in theirs | ours if theirs.get(key) != ours.get(key))
    try:
        if not other:
            detector.network.load_state_dict({key: value.float() for key, value in part.tensors.items()})
            return
    except RuntimeError:
        other = ["the network's weights"]
    raise RecipeError(
        f"the weights of bundle {parts.version()} do not fit the recipe's {recipe.name} ({', '.join(other)}): leave "
        "base_bundle (or --start-from) out to train from scratch, or name the recipe that the bundle was made with"
    )


def _facts(architecture: Mapping[str, Any], at: str = "") -> dict[str, Any]:
    """Flatten an architecture, as TOML, JSON or Python wrote it."""
    flat: dict[str, Any] = {}
    for key, value in architecture.items():
        if isinstance(value, Mapping):
            flat |= _facts(value, f"{at}{key}.")
        elif key not in _OF_TRAINING:
            flat[at + key] = list(value) if isinstance(value, tuple) else value
    return flat
