"""Warm start: a run that begins with the weights of a bundle instead of fresh ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.recipe import RecipeError
from training.schedule import AveragedWeights
from worker.detectors.bundle_folder import read_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from training.run import Run


def begin_from(run: Run, folder: Path) -> None:
    """Load a detector's weights out of a bundle, head included.

    Raises:
        RecipeError: the bundle has no detector of this name, or one of another architecture.
        BundleError: the folder holds no sound bundle.
    """
    name, parts = run.recipe.name, read_bundle(folder)
    if name not in parts.detectors:
        raise RecipeError(f"bundle {parts.version()} has no detector {name!r}; it has {', '.join(parts.detectors)}")
    weights = {key: value.float() for key, value in parts.detectors[name].tensors.items()}
    try:
        run.detector.network.load_state_dict(weights)
    except RuntimeError as error:
        raise RecipeError(
            f"the weights of bundle {parts.version()} do not fit the recipe's {name}: leave base_bundle out to train "
            "from scratch, or name the recipe that the bundle was made with"
        ) from error
    run.averaged = AveragedWeights(run.detector.network)
