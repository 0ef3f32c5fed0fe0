"""What the gate looks at: the images, what either bundle said of them, and how much is asked for. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from training.evaluation.paired import clusters_of
from worker.decisions.calibration import CalibrationFigures, Thresholds, derive_thresholds
from worker.decisions.policy import FIRST_RULES

Mask: TypeAlias = NDArray[np.bool_]


class Origin(StrEnum):
    """Where an image of the gate comes from."""

    NEW = "new"  # labels since the champion was made
    EARLIER = "earlier"  # labels that the champion, or one before it, was made with
    RECIPE = "known"  # the recipe's own data


@dataclass(frozen=True)
class ComparedImages:
    """The images that both bundles judged, N of them, none of which the challenger was fitted or calibrated on.

    Attributes:
        labels: int8 (N,), 1 = AI-generated.
        sources, generators, hashes: text (N,).
        origins: text (N,), values of `Origin`.
    """

    labels: NDArray[np.int8]
    sources: NDArray[np.str_]
    generators: NDArray[np.str_]
    hashes: NDArray[np.str_]
    origins: NDArray[np.str_]


@dataclass(frozen=True)
class Opinion:
    """What a bundle said of them, (N,), before any prior shift, and the figures that its thresholds stand on."""

    version: str
    probabilities: NDArray[np.float64]
    figures: CalibrationFigures


@dataclass(frozen=True)
class Terms:
    """How much the gate asks for.

    Attributes:
        margin: that a group, or the calibration error, may get worse by beyond its interval.
        least_new: new images of the class that the challenger is to be better at.
        least_negatives: images that are not AI-generated; a rate of 1 % is not to be seen on fewer than a hundred.
        least_known: known and earlier images in all.
        least_group: images from which on a source or generator is judged.
        false_positive_budget, miss_budget: of the policy.
    """

    margin: float = 0.01
    least_new: int = 30
    least_negatives: int = 200
    least_known: int = 200
    least_group: int = 20
    false_positive_budget: float = FIRST_RULES.false_positive_budget
    miss_budget: float = FIRST_RULES.miss_budget


@dataclass(frozen=True)
class Case:
    """Everything that a rule of the gate looks at."""

    images: ComparedImages
    champion: Opinion
    challenger: Opinion
    terms: Terms

    @property
    def old(self) -> Mask:
        """What was known before the new labels."""
        return np.asarray(self.images.origins != Origin.NEW)

    @property
    def new(self) -> Mask:
        """The images of new labels."""
        return np.asarray(self.images.origins == Origin.NEW)

    @property
    def new_class(self) -> int:
        """The class that the challenger is to be better at: AI-generated, unless new labels of the other can tell more.

        They do where there are enough of them, and too few AI-generated ones to see anything on.
        """
        positives, negatives = (int((self.images.labels[self.new] == label).sum()) for label in (1, 0))
        return int(positives >= self.terms.least_new or negatives < self.terms.least_new)

    def thresholds(self, opinion: Opinion) -> Thresholds:
        """Derive the cuts that the policy gives a bundle; a prior shift would move both sides alike."""
        budgets = {"false_positive_budget": self.terms.false_positive_budget, "miss_budget": self.terms.miss_budget}
        return derive_thresholds(opinion.figures, **budgets)

    def of(self, rows: Mask) -> tuple[Any, Any, Any, Any]:
        """Labels, both probabilities and clusters of some rows, as `training.evaluation.paired` takes them."""
        clusters = clusters_of(self.images.sources[rows], self.images.hashes[rows])
        return (
            self.images.labels[rows],
            self.champion.probabilities[rows],
            self.challenger.probabilities[rows],
            clusters,
        )
