"""A bundle's card as lines for people, on two screens: the headline first, everything else below it."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from worker.bundles.headline import accusations, headline

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from worker.bundles.card import Card, DataFacts, DetectorFacts
    from worker.bundles.card_heatmaps import HeatmapChecks
    from worker.bundles.card_measures import Evaluation, Measures, WholeImages

_WIDTH, _LABEL, _VALUE = 100, 14, 9
_NAME = 32
_WORST_SHOWN, _LEAST_SHOWN, _WORDS_SHOWN = 3, 20, 8


def as_text(card: Card) -> str:
    """Lay a card out for people: lines of at most 100 columns, those of shipped bundles at most 100."""
    parts = (_title, _headline, _changes, _whole_images, _certificate, _weaknesses, _groups, _evaluations, _made_of)
    return "\n".join(line for part in parts for line in part(card)) + "\n"


def _line(label: str, words: str) -> Iterator[str]:
    """Wrap words beside their label; no line ends between a figure and its sign."""
    kept = words.replace(" %", "\N{NO-BREAK SPACE}%")
    indents = f"{label:<{_LABEL}}", " " * _LABEL
    lines = textwrap.wrap(kept, _WIDTH, initial_indent=indents[0], subsequent_indent=indents[1], break_on_hyphens=False)
    yield from (line.replace("\N{NO-BREAK SPACE}", " ") for line in lines or [label])


def _title(card: Card) -> Iterator[str]:
    if card.bundle:
        yield from _line("bundle", card.bundle + (f": {card.title}" if card.title else ""))
    if card.smoke:
        yield from _line("smoke", "a smoke run; its figures are worth nothing")
    if card.scope:
        yield from _line("for", card.scope)


def _headline(card: Card) -> Iterator[str]:
    figures = headline(card)
    if figures is None:
        return
    yield from _line("measured on", figures.measured_on)
    for name, value, note in figures.rows():
        if len(value) > _VALUE:
            yield from _line("", f"{name}: {value} ({note})")
            continue
        begin = f"{'':<{_LABEL}}{name:<{_NAME}}{value:>{_VALUE}}  "
        yield from textwrap.wrap(note, _WIDTH, initial_indent=begin, subsequent_indent=" " * len(begin)) or [begin]
    if figures.command:
        yield from _line("again by", figures.command)


def _changes(card: Card) -> Iterator[str]:
    figures = headline(card)
    if figures is not None and figures.auroc_by_change:
        aurocs = [f"{name.replace('_', ' ')} {value:.3f}" for name, value in figures.auroc_by_change.items()]
        yield from _line("changed", "AUROC of some images after changes: " + ", ".join(aurocs))


def _whole_images(card: Card) -> Iterator[str]:
    report: WholeImages | None = card.whole_images
    if report is None:
        return
    yield from _line("whole images", f"{report.images:,} of {len(report.sources)} sources, heads {report.heads}")
    for change, outcome in report.by_change.items():
        counted = outcome.by_views["all"]
        yield from _line(
            "",
            f"{change}: AUROC {outcome.auroc:.3f}, {counted.found} of {counted.ai_generated:,} AI pictures found, "
            f"{counted.accused} of {counted.photographs:,} photographs accused (at most {counted.accused_at_most:.4f})",
        )


def _certificate(card: Card) -> Iterator[str]:
    certificate = card.certificate
    if certificate is not None:
        holds = "certified" if certificate.holds else "not certified"
        yield from _line(
            "certificate",
            f"budget {certificate.budget:g} {holds}: at most {certificate.rate_at_most:.4f} on "
            f"{certificate.negatives:,} held-out images that are not AI-generated; {certificate.scope}",
        )
    if card.selection:
        yield from _line("selection", card.selection)


def _weaknesses(card: Card) -> Iterator[str]:
    for weakness in card.known_weaknesses:
        yield from _line("weakness", weakness)
    yield from _heatmaps("heatmaps", card.heatmaps)


def _heatmaps(label: str, checks: HeatmapChecks | None) -> Iterator[str]:
    if checks is None:
        return
    yield from _line(label, f"put to the test on {checks.images} AI-generated images, against random maps")
    for detector, methods in checks.detectors.items():
        for method, check in methods.items():
            yield from _line("", f"{detector} {method}: {check.in_words()}")


def _groups(card: Card) -> Iterator[str]:
    for kind, groups in (("source", card.by_source), ("generator", card.by_generator)):
        large = {name: one for name, one in groups.items() if one.images >= _LEAST_SHOWN} or groups
        rated = [(one.accuracy, name) for name, one in large.items() if one.accuracy is not None]
        for _, name in sorted(rated)[:_WORST_SHOWN] if len(groups) > 1 else ():
            yield from _line("worst", f"{kind} {name}: {groups[name].images:,} images, {_rates(groups[name])}")


def _rates(group: Measures) -> str:
    rates = (("accuracy", group.accuracy), ("accused", group.wrongly_accused), ("found", group.found))
    return ", ".join(f"{word} {rate:.3f}" for word, rate in rates if rate is not None)


def _evaluations(card: Card) -> Iterator[str]:
    for evaluation in card.largest_evaluations():
        if evaluation.overall is None:
            continue
        measures = (("accuracy", evaluation.overall.accuracy), ("AUROC", evaluation.overall.auroc))
        shown = ", ".join(f"{name} {value:.4f}" for name, value in measures if value is not None)
        yield from _line(
            "evaluated", f"{evaluation.data}: {evaluation.overall.images:,} images{_subset(evaluation)}, {shown}"
        )
        if evaluation.covers:
            yield from _line("  of", evaluation.covers)
        for row in accusations(evaluation.negatives):
            yield from _line("", f"{row.name} {row.value}, {row.note}")
        for weakness in evaluation.weaknesses:
            yield from _line("  weakness", weakness)
        yield from _heatmaps("  heatmaps", evaluation.heatmaps)


def _subset(evaluation: Evaluation) -> str:
    if "--limit" not in evaluation.data:
        return ""
    return " (a subset, for its heatmaps)" if evaluation.heatmaps else " (a subset)"


def _made_of(card: Card) -> Iterator[str]:
    for name, detector in card.detectors.items():
        vote = "" if card.votes([name])[0] else ", without a vote"
        yield from _line("detector", f"{name}: {detector.weights:,} weights, sees {_views(detector)}{vote}")
    if card.data:
        yield from _line("data", card.data)
    yield from _both_data(card)
    if card.tried:
        yield from _line("tried", f"{len(card.tried)} trials; `--json` and `--html` show them")
    code = card.code_version
    if code is not None:
        commit = f", commit {code.commit[:12]}" if code.commit else ""
        yield from _line("exported by", f"assay {code.assay}{commit} (what wrote the bundle, not what trained it)")


def _both_data(card: Card) -> Iterator[str]:
    same = card.training_data == card.calibration_data
    facts = {"trained on": card.training_data, "calibrated on": None if same else card.calibration_data}
    for label, data in facts.items():
        if data is not None:
            yield from _data("trained and calibrated on" if same else label, data, card.data)


def _views(detector: DetectorFacts) -> str:
    views = detector.views
    crops = f"{views.crops} crop" + "s" * (views.crops > 1)
    kinds = ["the whole"] * bool(views.wholes) + [crops] * bool(views.crops)
    return " and ".join(kinds) + " and their mirror images" * views.mirrored + f" at {views.size} px"


def _data(label: str, facts: DataFacts, described: str | None) -> Iterator[str]:
    if facts.images:
        yield from _line(
            label if len(label) < _LABEL else "",
            ("" if len(label) < _LABEL else f"{label} ")
            + f"{facts.images:,} images, {facts.ai_generated or 0:,} AI-generated",
        )
    if facts.sources:
        yield from _line("  of sources", _counted(facts.sources))
    if facts.licences and facts.licences != described:
        yield from _line("  licences", facts.licences)


def _counted(sources: Mapping[str, int] | list[str]) -> str:
    counts = sources if not isinstance(sources, list) else dict.fromkeys(sources)
    largest = sorted(counts.items(), key=lambda item: -(item[1] or 0))
    shown = [name if count is None else f"{name} {count:,}" for name, count in largest[:_WORDS_SHOWN]]
    more = len(largest) - _WORDS_SHOWN
    return ", ".join(shown) + (f" and {more} more (`--json`)" if more > 0 else "")
