"""Recipes: what a training run is to do, in values; `training.recipe_file` reads them.

Two kinds. A `bundle` fits a CLIP and a ConvNeXt detector, perhaps an SRM detector too, fuses, calibrates and exports
them. A `classifier` recipe fits single networks beside each other and measures them on a test part: the student systems
this project grew from.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from pydantic import Field

from training.classifiers.classifier import Classifier, architecture_of
from training.data.pixels import Shape
from training.fitting.augment import AugmentationName
from worker.bundles.stored_features import ENCODER
from worker.detectors.build import CANNOT_BUILD, build_detector
from worker.detectors.detector import Detector
from worker.errors import AssayError
from worker.images.views import ViewPlan

# A smoke run shows that everything works, in minutes and on any machine; what it gives is worth nothing.
_SMOKE_ROWS, _SMOKE_CLASSIFIER_ROWS, _SMOKE_MINUTES, _SMOKE_BATCH, _SMOKE_MADE, _SMOKE_SHARE = (
    1600,
    400,
    0.25,
    16,
    64,
    0.3,
)


Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]
NotNegative = Annotated[float, Field(ge=0.0)]
MadeKind = Literal["drawings", "renderings", "assay_generator"]


class RecipeError(AssayError):
    """The recipe cannot be read; the message says why and what to do."""


@dataclass(frozen=True)
class Fit:
    """How one detector is fitted.

    Attributes:
        batch_size: views in one step, over all processes.
        learning_rate: the peak, reached after `warm_up`.
        weight_decay: on matrices and kernels only; of a head on an encoder, its ridge.
        optimizer: `adamw`, or `muon` for networks from scratch: matrices and kernels move along orthogonalised momentum
            (arXiv:2502.16982), the rest by AdamW; it learnt `cifake` from far fewer images.
        epochs: passes over the training rows, at most.
        minutes: wall clock, at most, 0 for no limit; the schedule follows whichever of the two ends first, so both end
            well. Only a run without a limit, or one that never feels it, is repeated exactly.
        warm_up: share of the schedule spent rising to the peak.
        ema_half_life: share of the schedule after which an old weight counts half in the averaged weights; 0 for no
            averaging.
        label_smoothing: pulls the targets 0 and 1 together by this much in total.
        cutout: side in pixels of a square that every view has hidden somewhere, 0 for none (arXiv:1708.04552); for fits
            long enough to learn single pictures by heart.
        clip_norm: the gradient's norm is bounded by this; 0 for no bound.
        patience: epochs without a better validation loss after which it ends; the best weights are kept; 0 for never.
        precision: `bf16` (mixed), `fp32`, or `auto`: bf16 on a GPU and on a CPU with AMX or AVX-512 BF16; it is slow
            on others.
        head: `gradient` fits everything that is not frozen by `optimizer`; `logistic` caches the features of a frozen
            CLIP tower, or of an SRM detector, and fits the head by regularised logistic regression.
        draws: augmented views of each image whose features `logistic` caches; an encoder's first is the image as it is.
        draw_as: how each of these is augmented, in turn; empty for the recipe's way.
        later_draws: of a head on an encoder, how much each draw after the first counts beside it.
    """

    batch_size: Count
    learning_rate: NotNegative
    weight_decay: NotNegative
    epochs: Annotated[float, Field(gt=0.0)]
    minutes: NotNegative = 0.0
    warm_up: Share = 0.05
    ema_half_life: NotNegative = 0.01
    optimizer: Literal["adamw", "muon"] = "adamw"
    label_smoothing: Share = 0.0
    cutout: Annotated[int, Field(ge=0)] = 0
    clip_norm: NotNegative = 1.0
    patience: Annotated[int, Field(ge=0)] = 0
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    head: Literal["gradient", "logistic"] = "gradient"
    draws: Count = 2
    draw_as: tuple[AugmentationName, ...] = ()
    later_draws: NotNegative = 1.0


@dataclass(frozen=True)
class DetectorRecipe:
    """One detector or classifier: its architecture, its views, its fit.

    Attributes:
        name: of the detector, or what the classifier is called.
        pretrained: false for fresh weights; true for the library's own for the named model; else an open_clip tag, an
            encoder's hash, or a local safetensors file.
        kind: `clip`, `convnext` or `classifier`; the name where it says nothing else.
    """

    name: str
    architecture: dict[str, Any]
    views: ViewPlan
    fit: Fit
    pretrained: str | bool | None = None
    kind: str = ""

    def build(self) -> Detector:
        """Make the detector with fresh weights.

        Raises:
            RecipeError: the architecture cannot be built.
        """
        try:
            if self.kind == "classifier":
                return Classifier(self.name, architecture_of(self.architecture), self.views)
            return build_detector(self.kind or self.name, self.architecture, self.views)
        except CANNOT_BUILD as error:
            raise RecipeError(f"the recipe's detector {self.name} cannot be built: {error!r}") from error


@dataclass(frozen=True)
class Recipe:
    """Everything a run needs besides the data's place.

    Attributes:
        files: names within the data folder; data of any other form is taken as it is.
        held_out_sources: never trained on (bundles).
        held_out_share: of the rows, where no sources are named (bundles).
        validation_share: of the rows, for early stopping.
        test_share: of the rows, for measuring, where the collection has no test part (classifiers).
        pool: take the collection's own parts as one and cut the shares out of it (classifiers).
        disjoint: `content` or `source`: what the shares are cut by; a bundle's is cut by content too where the data has
            too few sources.
        side, squeeze, limit: see `training.data.pixels.Shape`.
        made: pictures we make ourselves, and how many of each.
        emphasis: by source, how much more often it is drawn; a logistic head leaves it out.
        checkpoint_seconds: between checkpoints.
        claim: what a student system's authors reported, in words.
        gate_share: of what is held out, by content, that neither calibration nor thresholds see: for the gate.
        others_from: a shipped bundle whose other detectors ride along in this one, without a vote; empty for none.
        show_views: let TensorBoard show pictures; not where they are other people's and the log is kept.
    """

    name: str
    seed: Annotated[int, Field(ge=0)]
    augmentation: AugmentationName
    files: tuple[str, ...]
    detectors: tuple[DetectorRecipe, ...]
    held_out_sources: tuple[str, ...] = ()
    held_out_share: Share = 0.0
    made: dict[MadeKind, Count] = field(default_factory=dict)
    emphasis: dict[str, NotNegative] = field(default_factory=dict)
    scope: str = ""
    card: dict[str, Any] = field(default_factory=dict)
    kind: Literal["bundle", "classifier"] = "bundle"
    validation_share: Share = 0.0
    test_share: Share = 0.0
    pool: bool = False
    disjoint: Literal["content", "source"] = "content"
    side: Count | None = None
    squeeze: bool = False
    limit: Annotated[int, Field(ge=0)] = 0
    checkpoint_seconds: NotNegative = 60.0
    claim: str = ""
    gate_share: Share = 0.0
    others_from: str = ""
    show_views: bool = True

    @property
    def is_cross_fitted(self) -> bool:
        """Tell whether all its detectors are linear heads on frozen encoders, which folds can afford."""
        heads = [part.architecture.get("kind") == ENCODER and part.fit.head == "logistic" for part in self.detectors]
        return bool(heads) and all(heads)

    @property
    def shape(self) -> Shape:
        """Say how pictures become arrays."""
        return Shape(self.side, self.squeeze, self.limit)


def with_minutes(recipe: Recipe, minutes: float) -> Recipe:
    """Give every detector this much wall clock instead of the recipe's."""
    return _refit(recipe, minutes=minutes)


def smoke(recipe: Recipe) -> Recipe:
    """Shrink a recipe until it ends in minutes on any machine: few pictures, few steps, no pretrained weights."""
    rows = _SMOKE_ROWS if recipe.kind == "bundle" else _SMOKE_CLASSIFIER_ROWS
    short = _refit(recipe, minutes=_SMOKE_MINUTES, batch_size=_SMOKE_BATCH, draws=1)
    return replace(
        short,
        detectors=tuple(replace(part, pretrained=False) for part in short.detectors),
        limit=min(recipe.limit or rows, rows),
        made={kind: min(count, _SMOKE_MADE) for kind, count in recipe.made.items()},
        # Enough to calibrate on.
        held_out_share=max(recipe.held_out_share, _SMOKE_SHARE) if recipe.held_out_share else 0.0,
    )


def _refit(recipe: Recipe, **changes: Any) -> Recipe:
    return replace(
        recipe, detectors=tuple(replace(part, fit=replace(part.fit, **changes)) for part in recipe.detectors)
    )
