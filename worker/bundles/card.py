"""The card of a bundle, as far as code decides by it. People read the rest, which travels along untouched."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from worker.errors import AssayError


class CardError(AssayError, ValueError):
    """The bundle's card holds something that no card has; export the bundle again."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class TrainingFacts(_Part):
    """How a training run made the bundle.

    Attributes:
        labels_until: id of the newest label that the run could see; 0 where it saw none.
    """

    labels_until: int = 0


class FeatureFacts(_Part):
    """What its features look like on the images that calibrated it: (F,) means and deviations."""

    images: int
    mean: list[float]
    deviation: list[float]


class DataFacts(_Part):
    """Of a set of images.

    Attributes:
        fingerprint_sha256: of its contents and labels.
        sources: images by source.
    """

    fingerprint_sha256: str | None = None
    sources: dict[str, Any] | list[str] = Field(default_factory=dict)


class Card(_Part):
    """What code asks a card for; older cards lack some of it.

    Attributes:
        bundle: version of the bundle that it belongs to.
        content_sha256: hash of the bundle's content.
        training: how a run made it.
        training_data: what it was fitted on.
        calibration_data: what calibrated it.
        features: what drift is measured against.
        same_features_as: versions of bundles whose stored features it reads as its own.
        held_out_sources: sources that no fit has seen.
    """

    bundle: str | None = None
    content_sha256: str | None = None
    training: TrainingFacts = TrainingFacts()
    training_data: DataFacts | None = None
    calibration_data: DataFacts | None = None
    features: FeatureFacts | None = None
    same_features_as: tuple[str, ...] = ()
    held_out_sources: tuple[str, ...] = ()


def read_card(card: Mapping[str, Any]) -> Card:
    """Return what code decides by of a card as it was written.

    Raises:
        CardError: a value is of another kind; its place is named.
    """
    try:
        return Card.model_validate(card)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise CardError(f"the bundle's card is wrong at {place}: {first['msg']}; export the bundle again") from error
