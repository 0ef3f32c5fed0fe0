"""Recipes: what a training run is to do, read from a TOML file in `training/recipes`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worker.detectors.build import build_detector
from worker.detectors.detector import Detector
from worker.detectors.views import ViewPlan

RECIPES = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class Fit:
    """How one detector is fitted.

    Attributes:
        batch_size: views in one step.
        learning_rate: the peak, reached after `warm_up`.
        weight_decay: AdamW's, on matrices only.
        epochs: passes over the training rows, at most.
        minutes: wall clock, at most; the schedule follows whichever of the two ends first, so both end well.
        warm_up: share of the schedule spent rising to the peak.
        ema_half_life: share of the schedule after which an old weight counts half in the averaged weights.
        label_smoothing: pulls the targets 0 and 1 together by this much in total.
    """

    batch_size: int
    learning_rate: float
    weight_decay: float
    epochs: float
    minutes: float
    warm_up: float = 0.05
    ema_half_life: float = 0.01
    label_smoothing: float = 0.0


@dataclass(frozen=True)
class DetectorRecipe:
    """One detector: its architecture, its views, its fit and where pretrained weights lie, if any."""

    name: str
    architecture: dict[str, Any]
    views: ViewPlan
    fit: Fit
    pretrained: str | None = None

    def build(self) -> Detector:
        """Make the detector with fresh weights."""
        return build_detector(self.name, self.architecture, self.views)


@dataclass(frozen=True)
class Recipe:
    """Everything a run needs besides the data's place."""

    name: str
    seed: int
    augmentation: str
    files: tuple[str, ...]
    detectors: tuple[DetectorRecipe, ...]
    held_out_sources: tuple[str, ...] = ()
    held_out_share: float = 0.0
    made: dict[str, int] = field(default_factory=dict)
    emphasis: dict[str, float] = field(default_factory=dict)
    scope: str = ""
    card: dict[str, Any] = field(default_factory=dict)


def load_recipe(name_or_path: str) -> Recipe:
    """Read a recipe by name (a file in `training/recipes`) or by path."""
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = RECIPES / f"{name_or_path}.toml"
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    detectors = tuple(
        DetectorRecipe(
            name=name,
            architecture=part["architecture"],
            views=ViewPlan(**part["views"]),
            fit=Fit(**part["fit"]),
            pretrained=part.get("pretrained"),
        )
        for name, part in table.pop("detectors").items()
    )
    return Recipe(
        detectors=detectors,
        files=tuple(table.pop("files")),
        held_out_sources=tuple(table.pop("held_out_sources", ())),
        **table,
    )
