"""What a training run is asked to do, and where its data may come from: plain values, made of a row and of settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worker.database.label_agreement import LabelTerms

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from worker.settings import Settings

REFIT = "refit"
_IN_STORE = "s3://"


@dataclass(frozen=True)
class RunOrder:
    """What a run is asked to do; the values are those of its row.

    Attributes:
        recipe: a recipe's name, or `refit`.
        data: `s3://bucket/prefix`, and names in the training worker's data folder.
        changes: what departs from the recipe, such as `fit.epochs=3`.
        minutes: wall clock for each detector instead of the recipe's.
        base_bundle: version of the bundle whose weights the detectors begin with.
        labels_until: id of the newest label that counts; none for all there are.
        shadow_share: of live images that the challenger scans; none for the platform's own.
    """

    recipe: str
    data: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    minutes: float | None = None
    base_bundle: str | None = None
    labels_until: int | None = None
    shadow_share: float | None = None

    @property
    def prefixes(self) -> list[str]:
        """The places in the store whose labelled images are meant; none for all."""
        return [place for place in self.data if place.startswith(_IN_STORE)]

    @property
    def files(self) -> list[str]:
        """The names in the training worker's data folder."""
        return [place for place in self.data if not place.startswith(_IN_STORE)]


def read_order(recipe: str, parameters: Mapping[str, Any]) -> RunOrder:
    """Return the order that a run's row holds."""
    return RunOrder(
        recipe,
        data=tuple(parameters.get("data", ())),
        changes=tuple(parameters.get("changes", ())),
        minutes=parameters.get("minutes"),
        base_bundle=parameters.get("base_bundle"),
        labels_until=parameters.get("labels_until"),
        shadow_share=parameters.get("shadow_share"),
    )


@dataclass(frozen=True)
class DataSources:
    """Where a run's recipe and data may come from.

    Attributes:
        recipes: folder of the platform's own recipes.
        files: folder of the training worker's data; nothing outside of it can be named.
        foreign_weights: whether an order may name weights that are not its recipe's own.
        terms: how many reviewers must agree, and how large the audit slice is.
        max_image_bytes: most bytes of a labelled image.
    """

    recipes: Path | None
    files: Path | None
    foreign_weights: bool
    terms: LabelTerms
    max_image_bytes: int


def data_sources(settings: Settings) -> DataSources:
    """Return what the settings allow."""
    return DataSources(
        settings.training_recipes,
        settings.training_data,
        settings.training_foreign_weights,
        LabelTerms(settings.label_reviewers, settings.audit_share),
        settings.max_image_bytes,
    )
