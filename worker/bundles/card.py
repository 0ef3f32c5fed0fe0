"""The card of a bundle: what training writes of it, and what code and people read.

It lies beside the bundle and changes nothing of what the bundle says. Cards of older releases lack some fields; fields
that this release does not know survive reading and writing.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import Field, JsonValue, ValidationError

from worker.bundles.card_heatmaps import HeatmapChecks
from worker.bundles.card_measures import (
    Certificate,
    Evaluation,
    Folds,
    Intervals,
    Measures,
    Negatives,
    Robustness,
    WholeImages,
    Worst,
)
from worker.bundles.card_part import Part
from worker.errors import AssayError


class CardError(AssayError, ValueError):
    """The bundle's card holds something that no card has; export the bundle again."""


class TrainingFacts(Part):
    """How a training run made the bundle.

    Attributes:
        labels_until: id of the newest label that the run could see; 0 where it saw none.
    """

    labels_until: int = 0


class FeatureFacts(Part):
    """What its features look like on the images that calibrated it: (F,) means and deviations."""

    images: int
    mean: list[float]
    deviation: list[float]


class DataFacts(Part):
    """Of a set of images, without showing any.

    Attributes:
        images, ai_generated: counts; None where nobody knows.
        fingerprint_sha256: of its contents and labels.
        sources, generators: images by name; of some older cards names alone.
        licences: in words.
    """

    images: int | None = None
    ai_generated: int | None = None
    fingerprint_sha256: str | None = None
    sources: dict[str, int] | list[str] = Field(default_factory=dict)
    generators: dict[str, int] = Field(default_factory=dict)
    licences: str | None = None


class ViewFacts(Part):
    """Views that a detector takes of an image: side in pixels, the whole, native crops, mirror images of both."""

    size: int
    wholes: int = 0
    crops: int = 0
    mirrored: bool = False


class DetectorFacts(Part):
    """One detector: what it is built of, its views, its count of weights."""

    architecture: dict[str, JsonValue] = Field(default_factory=dict)
    views: ViewFacts
    weights: int


class CodeVersion(Part):
    """What wrote the card: the package's version, and the commit where it ran from a checkout."""

    assay: str
    commit: str | None = None


class Probe(Part):
    """What the bundle gives for one drawn picture: logits by detector, and the probability."""

    seed: int | None = None
    logits: dict[str, float] = Field(default_factory=dict)
    probability: float = Field(ge=0.0, le=1.0, strict=True)


class Card(Part):
    """A bundle's card.

    Attributes:
        bundle, content_sha256: the bundle that it belongs to, and the hash of its content.
        card_sha256: of everything else on the card.
        title, data, scope: in words; `scope` says which images it is made for.
        headline_data: the evaluation that has the headline figures, by its `data`; None where the folds have them.
        smoke: a smoke run made it, so it is worth nothing.
        training: how a run made it.
        training_data, calibration_data: what it was fitted on, and what calibrated it.
        features: what drift is measured against.
        same_features_as: versions of bundles whose stored features it reads as its own.
        held_out_sources: sources that no fit has seen.
        counted: detectors that have a vote, of cross-fitted heads; None where all have.
        folds: every source judged by detectors that never saw it; cards of early wrapped bundles say a word here.
        held_out: measures of fusion and thresholds that never saw the image's source; `held_out_is` says how.
        whole_images: several views judged together.
        evaluations: what `assay evaluate` put there.
        probe: what the bundle says of one picture, so that another release can be compared.
    """

    bundle: str | None = None
    content_sha256: str | None = None
    card_sha256: str | None = None
    title: str | None = None
    data: str | None = None
    scope: str | None = None
    headline_data: str | None = None
    smoke: bool = False
    tried: list[str] = Field(default_factory=list)
    known_weaknesses: list[str] = Field(default_factory=list)
    certifies: str | None = None
    selection: str | None = None
    code_version: CodeVersion | None = None
    detectors: dict[str, DetectorFacts] = Field(default_factory=dict)
    detectors_from: dict[str, str] = Field(default_factory=dict)
    training: TrainingFacts = TrainingFacts()
    training_data: DataFacts | None = None
    calibration_data: DataFacts | None = None
    features: FeatureFacts | None = None
    same_features_as: tuple[str, ...] = ()
    refitted_from: str | None = None
    held_out_sources: tuple[str, ...] = ()
    counted: tuple[str, ...] | None = None
    folds: Folds | str | None = None
    held_out: Measures | None = None
    held_out_is: str | None = None
    auroc_by_detector: dict[str, float] = Field(default_factory=dict)
    auroc_of_added_logits: float | None = None
    auroc_by_inputs: dict[str, float] = Field(default_factory=dict)
    intervals_95: Intervals = Field(default_factory=dict)
    negatives: dict[str, Negatives] = Field(default_factory=dict)
    worst_source: Worst | None = None
    worst_generator: Worst | None = None
    worst_group: Worst | None = None
    by_detector: dict[str, Measures] = Field(default_factory=dict)
    by_source: dict[str, Measures] = Field(default_factory=dict)
    by_generator: dict[str, Measures] = Field(default_factory=dict)
    certificate: Certificate | None = None
    robustness: Robustness | None = None
    heatmaps: HeatmapChecks | None = None
    whole_images: WholeImages | None = None
    evaluations: list[Evaluation] = Field(default_factory=list)
    probe: Probe | None = None

    @property
    def is_cross_fitted(self) -> bool:
        """Tell whether its heads were fitted fold by fold."""
        return self.counted is not None

    @property
    def measured_folds(self) -> Folds | None:
        """Return the folds where they were measured."""
        return self.folds if isinstance(self.folds, Folds) else None

    def votes(self, detectors: Iterable[str]) -> list[bool]:
        """Tell of each detector whether it has a vote; the others ride along."""
        return [self.counted is None or name in self.counted for name in detectors]

    def largest_evaluations(self) -> list[Evaluation]:
        """Return the evaluations, that of most images first."""
        return sorted(self.evaluations, key=lambda one: -(one.overall.images if one.overall else 0))


def read_card(card: Mapping[str, Any]) -> Card:
    """Return a card as it was written.

    Raises:
        CardError: a value is of another kind; its place is named.
    """
    try:
        return Card.model_validate(dict(card))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise CardError(f"the bundle's card is wrong at {place}: {first['msg']}; export the bundle again") from error


def card_document(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return facts, plain or typed, as the JSON values of a card, after seeing that they can stand on one.

    Raises:
        CardError: as `read_card`.
    """
    return read_card(facts).document()
