"""Warm start: a run that begins with the weights of a bundle instead of fresh ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.recipe import RecipeError
from training.schedule import AveragedWeights
from worker.detectors.bundle_folder import read_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from training.run import Run
    from worker.detectors.detector import Detector


def begin_from(run: Run, folder: Path) -> None:
    """Load a detector's weights out of a bundle, head included; raises as `take_weights`."""
    take_weights(run.detector, run.recipe.name, folder)
    run.averaged = AveragedWeights(run.detector.network)


def take_weights(detector: Detector, name: str, folder: Path) -> None:
    """Load the weights of the detector of this name out of a bundle into another.

    Raises:
        RecipeError: the bundle has no detector of this name, or one of another architecture.
        BundleError: the folder holds no sound bundle.
    """
    parts = read_bundle(folder)
    if name not in parts.detectors:
        raise RecipeError(f"bundle {parts.version()} has no detector {name!r}; it has {', '.join(parts.detectors)}")
    weights = {key: value.float() for key, value in parts.detectors[name].tensors.items()}
    try:
        detector.network.load_state_dict(weights)
    except RuntimeError as error:
        raise RecipeError(
            f"the weights of bundle {parts.version()} do not fit the recipe's {name}: leave base_bundle (or "
            "--start-from) out to train from scratch, or name the recipe that the bundle was made with"
        ) from error
