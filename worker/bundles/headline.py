"""Headline: a bundle's card → the one set of figures that README, console, card page and command line lead with.

Where the sources were left out in folds, their figures lead: each source judged by detectors that never saw it. Else
those of the evaluation that the card names lead, else those of images held out of training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from worker.bundles.card import Card
    from worker.bundles.card_measures import (
        Curves,
        Evaluation,
        Folds,
        Interval,
        Measures,
        Negatives,
        Thresholds,
    )

_HEATMAPS = " --heatmaps"
_WORST = 5
_NEAR_ONE = 0.99  # where a third digit tells no two bundles apart
_LEAST_GROUP = 20  # images; of fewer, an accuracy says more of chance
_CLASSES = {"ai_generated": "AI pictures", "not_ai_generated": "all others"}
_KINDS = {"photographs": "Photographs accused", "drawings": "Drawings and renderings accused"}


class Row(NamedTuple):
    """One headline figure in words: what it is, its value, and what belongs to it."""

    name: str
    value: str
    note: str


@dataclass(frozen=True)
class Headline:
    """A bundle's leading figures; shares and AUROC from 0 to 1, None where nobody measured.

    Attributes:
        measured_on: the images, in words.
        overall: measures of them, under the shipped policy.
        auroc_between: 95 % interval of the pooled AUROC.
        auroc_mean: over AI sources, each against all photographs of its fold.
        negatives: by kind.
        worst: the worst sources, by AUROC where they were ranked (`worst_is`), else by accuracy.
        curves, thresholds: of the same images, for charts.
        auroc_by_source: of every AI source.
        auroc_by_change: after changes of the pixels, of some images.
        command: makes them again.
    """

    measured_on: str
    overall: Measures
    auroc_between: Interval
    auroc_mean: float | None
    negatives: dict[str, Negatives]
    worst: tuple[tuple[str, float], ...]
    worst_is: str
    curves: Curves | None
    thresholds: Thresholds | None
    auroc_by_source: dict[str, float]
    auroc_by_change: dict[str, float]
    command: str | None

    def rows(self) -> list[Row]:
        """Write each figure for people; the same rows stand in every place."""
        rows = [
            _row("AUROC, all images", _figure(self.overall.auroc), _between(self.auroc_between)),
            None
            if self.auroc_mean is not None
            else _row("Accuracy", _accurate(self.overall.accuracy), "cut at one half"),
            _row("AUROC, mean over AI sources", _figure(self.auroc_mean), "each against the photographs of its fold"),
            _row("AI pictures found", _percent(self.overall.found), self._by_policy()),
            *accusations(self.negatives),
            _row("Left to a person (uncertain)", _percent(self._uncertain()), self._by_class()),
            _row("Calibration error (ECE)", _figure(self.overall.ece_15), self._at_own_prior()),
            Row("Worst sources", ", ".join(f"{name} {value:.2f}" for name, value in self.worst), self.worst_is)
            if self.worst
            else None,
        ]
        return [row for row in rows if row is not None]

    def _by_policy(self) -> str:
        freely = _percent(self.overall.tpr_at_fpr_1pct)
        return "by the shipped policy" + (f"; {freely} where 1 % of all others are accused" if freely else "")

    def _uncertain(self) -> float | None:
        return None if self.overall.coverage is None else 1.0 - self.overall.coverage

    def _by_class(self) -> str:
        """Say which share of either class is uncertain; empty where verdicts were not counted."""
        shares, verdicts = [], self.overall.verdicts or {}
        for name, words in _CLASSES.items():
            counts = [by_class.get(name, 0) for by_class in verdicts.values()]
            uncertain = verdicts.get("uncertain", {}).get(name, 0)
            shares += [f"{_percent(uncertain / sum(counts))} of {words}"] if sum(counts) else []
        return ", ".join(shares)

    def _at_own_prior(self) -> str:
        error = self.overall.ece_15_at_own_prior
        return "" if error is None else f"{error:.3f} at the images' own share of AI pictures"


def headline(card: Card) -> Headline | None:
    """Choose a card's leading figures; None where it has none."""
    if card.measured_folds is not None:
        return _of_folds(card.measured_folds)
    named = [one for one in card.evaluations if one.data.partition(_HEATMAPS)[0] == card.headline_data]
    if named and named[0].overall is not None:
        return _of_evaluation(named[0], named[0].overall)
    return _of_held_out(card)


def _of_folds(folds: Folds) -> Headline:
    sources = {source for fold in folds.folds for source in fold.sources}
    ranks = folds.auroc_by_ai_source or folds.worst_five_ai_sources
    return Headline(
        measured_on=f"{folds.overall.images:,} images of {len(sources)} sources in {len(folds.folds)} folds; each "
        "source judged by detectors that never saw it",
        overall=folds.overall,
        auroc_between=folds.intervals_95.get("auroc"),
        auroc_mean=folds.auroc_mean_over_ai_sources,
        negatives=folds.negatives,
        worst=tuple(sorted(ranks.items(), key=lambda item: item[1])[:_WORST]),
        worst_is="AUROC of their images against all photographs of their fold",
        curves=folds.curves,
        thresholds=folds.thresholds,
        auroc_by_source=folds.auroc_by_ai_source,
        auroc_by_change={
            name: change.auroc for name, change in folds.changes.by_change.items() if change.auroc is not None
        },
        command=folds.command or None,
    )


def _of_evaluation(evaluation: Evaluation, overall: Measures) -> Headline:
    return Headline(
        measured_on=f"{overall.images:,} images: {evaluation.data.partition(_HEATMAPS)[0].removeprefix('--data ')}",
        overall=overall,
        auroc_between=evaluation.intervals_95.get("auroc"),
        auroc_mean=None,
        negatives=evaluation.negatives,
        worst=_least_accurate(evaluation.by_source),
        worst_is="accuracy at one half",
        curves=evaluation.curves,
        thresholds=evaluation.thresholds,
        auroc_by_source={},
        auroc_by_change=_changes(evaluation.robustness.changes if evaluation.robustness else {}),
        command=evaluation.command,
    )


def _of_held_out(card: Card) -> Headline | None:
    if card.held_out is None:
        return None
    return Headline(
        measured_on=f"{card.held_out.images:,} images held out of training",
        overall=card.held_out,
        auroc_between=card.intervals_95.get("auroc"),
        auroc_mean=None,
        negatives=card.negatives,
        worst=_least_accurate(card.by_source),
        worst_is="accuracy at one half",
        curves=None,
        thresholds=None,
        auroc_by_source={},
        auroc_by_change=_changes(card.robustness.changes if card.robustness else {}),
        command=None,
    )


def _least_accurate(by_source: dict[str, Measures]) -> tuple[tuple[str, float], ...]:
    rated = [(name, one.accuracy) for name, one in by_source.items() if one.images >= _LEAST_GROUP]
    measured = [(name, accuracy) for name, accuracy in rated if accuracy is not None]
    return tuple(sorted(measured, key=lambda item: item[1])[:_WORST]) if len(measured) > 1 else ()


def _changes(changes: dict[str, Measures]) -> dict[str, float]:
    return {name: one.auroc for name, one in changes.items() if one.auroc is not None}


def accusations(negatives: dict[str, Negatives]) -> list[Row]:
    """Write for people how many of each kind of negative are accused."""
    return [_accused(kind, one) for kind, one in negatives.items()]


def _accused(kind: str, negatives: Negatives) -> Row:
    most = negatives.wrongly_accused_at_most
    bound = "" if most is None else f", at most {_percent(most)}"
    return Row(
        _KINDS.get(kind, f"{kind.capitalize()} accused"),
        _percent(negatives.wrongly_accused) or "",
        f"{negatives.accused} of {negatives.images:,}{bound}",
    )


def _row(name: str, value: str | None, note: str) -> Row | None:
    return None if value is None else Row(name, value, note)


def _figure(value: float | None) -> str | None:
    return None if value is None else f"{value:.4f}" if value > _NEAR_ONE else f"{value:.3f}"


def _accurate(share: float | None) -> str | None:
    return None if share is None else f"{100 * share:.2f} %"


def _percent(share: float | None) -> str | None:
    if share is None:
        return None
    digits = 0 if share == 0 else 2 if share < 0.01 else 1  # noqa: PLR2004 (one in a hundred)
    return f"{100 * share:.{digits}f} %"


def _between(ends: Interval) -> str:
    return "" if ends is None else f"95 % interval {ends[0]:.3f} to {ends[1]:.3f}"
