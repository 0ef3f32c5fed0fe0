"""Held out, again: the replay beside a bundle → the held-out figures of its card, by the code that made them.

The replay holds the logits of the held-out images, so neither the checkpoints nor the images are needed.
"""

from __future__ import annotations

import math
from itertools import compress
from typing import TYPE_CHECKING, Any, NamedTuple

from training.calibration.fusion import Measurements, grouped
from training.calibration.held_out import tell_held_out
from training.data.authors import by_author
from training.data.collection import DataError
from training.evaluation.fold_report import measures_of_folds
from training.evaluation.pictures import fingerprint
from training.export.recipe_words import certifies, selection
from training.retraining.refit_data import replayed
from worker.bundles.card import read_card
from worker.bundles.copies import REPLAY
from worker.bundles.folder import read_bundle, update_card

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from training.calibration.held_out import HeldOutResult
    from training.retraining.refit import Samples
    from worker.bundles.card import Card
    from worker.bundles.parts import BundleParts


# What cards of earlier releases tell and this one does not: it mixed the scales of two fits.
_WITHDRAWN = ("accused_when_left_out",)
_SAME = 1e-6  # of a number: another processor rounds the last digits of a fit otherwise, and nobody sees it


class Again(NamedTuple):
    """The figures of a card made over again.

    Attributes:
        samples, measured: what the replay holds.
        version: of the bundle.
        card: as it is.
        result: from the replay.
        images: in the replay.
        whole: they are the very images that the card's figures are of, all of them.
        same_bundle: fusion and calibrations come out as the bundle has them, to a millionth.
    """

    samples: Samples
    measured: Measurements
    version: str
    card: Mapping[str, Any]
    result: HeldOutResult
    images: int
    whole: bool
    same_bundle: bool

    @property
    def figures(self) -> dict[str, tuple[float, float]]:
        """Put every held-out measure beside the card's: (card's, again), by name."""
        before, now = self.card.get("held_out", {}), self.result.facts["held_out"]
        return {
            name: (before[name], value)
            for name, value in now.items()
            if isinstance(value, float) and isinstance(before.get(name), float)
        }


def tell_again(folder: Path) -> Again:
    """Calibrate and measure a bundle over again, by the same code, on what its replay holds.

    Raises:
        DataError: there is no replay beside the bundle, or it is another's.
        BundleError: the folder is no bundle.
    """
    parts = read_bundle(folder)
    samples, measured = measured_again(parts, folder)
    result = tell_held_out(parts, samples, measured)
    calibrated_on = read_card(parts.card).calibration_data
    whole = calibrated_on is not None and calibrated_on.fingerprint_sha256 == fingerprint(
        samples.hashes, samples.labels
    )
    same = _same(parts.deciding(), result.parts.deciding())
    return Again(samples, measured, parts.version(), parts.card, result, len(samples), whole, same)


def measured_again(parts: BundleParts, folder: Path) -> tuple[Samples, Measurements]:
    """Read from a bundle's replay which images were held out, and what its detectors gave on them.

    Raises:
        DataError: there is no replay beside the bundle, or it is another's.
    """
    samples = replayed(folder / REPLAY, (parts.version(),))
    if samples is None:
        raise DataError(
            f"beside {parts.version()} lies no {REPLAY} of its own: `python -m training.export.replay` makes it "
            "from the recipe's files"
        )
    card = read_card(parts.card)
    counted, balanced = card.votes(parts.detectors), card.is_cross_fitted
    names = tuple(compress(parts.detectors, counted))
    groups = by_author(samples.sources) if balanced else samples.sources
    measured = Measurements(
        names, samples.others[:, counted], samples.covariates, samples.labels, groups, balanced=balanced
    )
    return samples, grouped(measured, samples.hashes)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=_SAME, abs_tol=_SAME)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def write_again(folder: Path, again: Again) -> None:
    """Put the held-out facts on the card in place of those there, and of cross-fitted heads the folds' measures too.

    The card's other words stay.

    Raises:
        DataError: the replay does not hold all that the card's figures are of, or fusion and calibrations do not come
            out of it as the bundle has them: the figures would be another bundle's.
    """
    if not again.whole:
        raise DataError(
            f"the replay beside {again.version} holds {again.images} images, not all that its card's figures are of: "
            "`python -m training.export.replay --most N` makes one that does"
        )
    if not again.same_bundle:
        raise DataError(
            f"fusion and calibrations of {again.version} do not come out as it has them, so these figures would be "
            "another bundle's: export it again with this release"
        )
    card = read_card(again.card)
    words = _folds_again(again, card) if card.is_cross_fitted else _words_of_a_split(again, card)
    update_card(folder, {**again.result.facts, **words}, without=_WITHDRAWN)


def _words_of_a_split(again: Again, card: Card) -> dict[str, str]:
    certified = certifies(card.held_out_sources, by_source=again.result.by_source)
    return {"certifies": certified, "selection": selection(again.card)}


def _folds_again(again: Again, card: Card) -> dict[str, Any]:
    """Measure the folds of cross-fitted heads again; what was judged after changes of the pixels stays as it was."""
    if card.measured_folds is None:
        return {}
    measures = measures_of_folds(again.measured, again.samples)
    measures.pop("by_source")  # the card has them already
    return {"folds": {**card.measured_folds.document(), **measures}}


def as_text(again: Again) -> str:
    """Lay it out for people: each measure on the card and again."""
    whole = "all" if again.whole else "not all"
    same = "come" if again.same_bundle else "do not come"
    lines = [
        f"bundle     {again.version}",
        f"images     {again.images}, {whole} that the card's figures are of",
        f"fitted     fusion and calibrations {same} out as the bundle has them",
        f"{'measure':<28}{'card':>10}{'again':>10}",
    ]
    lines += [f"{name:<28}{before:>10.4f}{now:>10.4f}" for name, (before, now) in again.figures.items()]
    return "\n".join(lines) + "\n"


def as_json(again: Again) -> dict[str, Any]:
    """Give everything as plain values."""
    return {
        "bundle": again.version,
        "images": again.images,
        "whole": again.whole,
        "same_bundle": again.same_bundle,
        "figures": {name: {"card": before, "again": now} for name, (before, now) in again.figures.items()},
        **again.result.facts,
    }
