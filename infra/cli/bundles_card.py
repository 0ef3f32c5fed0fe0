"""A bundle's card as lines for people: all that it says in words, and the figures that decide."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from worker.bundles.plain_files import read_json
from worker.errors import AssayError

_LEADING = (
    "images",
    "auroc",
    "accuracy",
    "tpr_at_fpr_1pct",
    "ece_15",
    "ece_15_at_own_prior",
    "coverage",
    "found",
)
_WORST_SHOWN, _LEAST_SHOWN, _SOURCES_SHOWN = 5, 20, 40
_LABEL = 14
_MEND = "fetch or export the bundle again"


def read_card(folder: Path) -> dict[str, Any]:
    """Read a bundle's card.

    Raises:
        BundleError: there is none, it is no plain file, or it is damaged.
    """
    return read_json(folder / "card.json")


def probe_told(card: Mapping[str, Any]) -> float | None:
    """Give the probability that a card tells for the probe; None where it tells nothing of one.

    Raises:
        AssayError: what it tells is no probability.
    """
    told = card.get("probe")
    if told is None:
        return None
    found = told.get("probability") if isinstance(told, dict) else told
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0.0 <= found <= 1.0:
        raise AssayError(f"the card's probe tells no probability ({found!r}); {_MEND}")
    return float(found)


def as_text(card: Mapping[str, Any]) -> str:
    """Lay a card out for people: its words, what it was made of, the leading measures, certificate and weaknesses.

    Raises:
        AssayError: the card lacks figures that belong together, or holds something else in their place.
    """
    try:
        lines = [
            *_words(card),
            *_made_of(card),
            *_held_out(card),
            *_folds(card),
            *_whole_images(card),
            *_weak(card),
            *_evaluations(card),
        ]
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise AssayError(f"the card is damaged ({error!r}); {_MEND}") from error
    return "\n".join(lines) + "\n"


def _line(label: str, said: object) -> str:
    return f"{label:<{_LABEL}}{said}"


def _words(card: Mapping[str, Any]) -> Iterator[str]:
    for key in ("bundle", "title", "data", "scope"):
        if card.get(key):
            yield _line(key, card[key])
    code = card.get("code_version") or {}
    if code:
        commit = f", commit {str(code['commit'])[:12]}" if code.get("commit") else ""
        yield _line("exported by", f"assay {code.get('assay')}{commit} (what wrote the bundle, not what trained it)")


def _made_of(card: Mapping[str, Any]) -> Iterator[str]:
    for name, detector in (card.get("detectors") or {}).items():
        views = detector["views"]
        seen = ["the whole"] * bool(views.get("wholes")) + [f"{views.get('crops')} crops"] * bool(views.get("crops"))
        sees = " and ".join(seen) + " and their mirror images" * bool(views.get("mirrored"))
        yield _line("detector", f"{name}: {detector['weights']:,} weights, sees {sees} at {views['size']} px")
    for label, key in (("trained on", "training_data"), ("calibrated on", "calibration_data")):
        facts = card.get(key) or {}
        if facts.get("images"):
            yield _line(label, f"{facts['images']:,} images, {facts.get('ai_generated', 0):,} AI-generated")
        if facts.get("sources"):
            yield _line("  of sources", _counted(facts["sources"]))
        if facts.get("licences") and facts["licences"] != card.get("data"):
            yield _line("  licences", facts["licences"])
    for said in card.get("tried") or ():
        yield _line("tried", said)


def _counted(sources: Mapping[str, int]) -> str:
    shown = [f"{name} {count:,}" for name, count in list(sources.items())[:_SOURCES_SHOWN]]
    more = len(sources) - _SOURCES_SHOWN
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _held_out(card: Mapping[str, Any]) -> Iterator[str]:
    held_out, intervals = card.get("held_out", {}), card.get("intervals_95", {})
    if held_out:
        yield _line("held out", card.get("held_out_is") or "images that it was not trained on")
    for key in _LEADING:
        if isinstance(held_out.get(key), float | int):
            value = format(held_out[key], "d" if isinstance(held_out[key], int) else ".4f")
            yield f"  {key:<28}{value}{_between(intervals.get(key))}"
    yield from _accused(card)
    yield from _groups(card)
    if card.get("selection"):
        yield _line("selection", card["selection"])
    certificate = card.get("certificate")
    if certificate:
        holds = "certified" if certificate["holds"] else "not certified"
        yield _line(
            "certificate",
            f"budget {certificate['budget']:g} {holds}: at most {certificate['rate_at_most']:.4f} on "
            f"{certificate['negatives']} held-out images that are not AI-generated; {certificate['scope']}",
        )


def _between(ends: list[float] | None) -> str:
    return f"  [{ends[0]:.4f}, {ends[1]:.4f}]" if ends else ""


def _accused(card: Mapping[str, Any]) -> Iterator[str]:
    kinds = card.get("negatives") or {}
    measured = card.get("held_out") or card.get("overall") or {}
    if not kinds and measured.get("wrongly_accused") is not None:  # a card from before they were told apart
        between = _between(card.get("intervals_95", {}).get("wrongly_accused"))
        yield f"  {'not AI-generated, accused':<28}{measured['wrongly_accused']:.4f}{between}"
    for kind, found in kinds.items():
        between = _between(found["intervals_95"].get("wrongly_accused"))
        if not found["accused"]:  # draws of nothing are nothing
            between = f"  at most {found['wrongly_accused_at_most']:.4f}"
        yield f"  {kind + ' accused':<28}{found['wrongly_accused']:.4f}{between}  {_of(found)}"


def _of(found: Mapping[str, Any]) -> str:
    worst, counted = found["worst_source"], f"{found['accused']} of {found['images']:,}"
    if worst["images"] == found["images"]:  # there is no other
        return counted
    return f"{counted}; worst source {worst['name']}, {worst['accused']} of {worst['images']:,}"


def _groups(card: Mapping[str, Any]) -> Iterator[str]:
    for label, key in (("source", "by_source"), ("generator", "by_generator")):
        groups = card.get(key) or {}
        told = {name: one for name, one in groups.items() if one["images"] >= _LEAST_SHOWN} or groups
        worst = sorted(told.items(), key=lambda item: float(item[1]["accuracy"]))[:_WORST_SHOWN]
        for name, one in worst if len(groups) > 1 else ():
            rates = [f"accuracy {one['accuracy']:.3f}"]
            for rate, word in (("wrongly_accused", "accused"), ("found", "found")):
                rates += [f"{word} {one[rate]:.3f}"] if one.get(rate) is not None else []
            yield _line("worst", f"{label} {name}: {one['images']:,} images, {', '.join(rates)}")


def _folds(card: Mapping[str, Any]) -> Iterator[str]:
    told = card.get("folds")
    if not isinstance(told, Mapping):  # wrapped bundles of earlier releases told in a word how they were calibrated
        return
    overall, sources = told["overall"], sum(len(fold["sources"]) for fold in told["folds"])
    minutes = " and ".join(f"{name} {value:g}" for name, value in told["minutes"].items())
    yield _line(
        "folds",
        f"AUROC {overall['auroc']:.4f}{_between(told['intervals_95'].get('auroc'))} of {overall['images']:,} images of "
        f"{sources} sources, each in its turn judged by detectors fitted without it ({minutes} minutes)",
    )
    for kind, found in told["negatives"].items():
        yield _line("", f"{kind} accused {found['wrongly_accused']:.4f}, {_of(found)}")


def _whole_images(card: Mapping[str, Any]) -> Iterator[str]:
    told = card.get("whole_images")
    if not told:
        return
    sources = len(told["sources"])
    yield _line("whole", f"{told['images']:,} whole images of {sources} sources, judged by heads {told['heads']}")
    for change, found in told["by_change"].items():
        counted = found["by_views"]["all"]
        accused = f"{counted['accused']} of {counted['photographs']} photographs accused"
        found_here = f"{counted['found']} of {counted['ai_generated']} AI pictures found"
        most = f"at most {counted['accused_at_most']:.4f}"
        yield _line("", f"{change}: AUROC {found['auroc']:.4f}, {accused} ({most}), {found_here}")


def _weak(card: Mapping[str, Any]) -> Iterator[str]:
    if card.get("smoke"):
        yield _line("smoke", "a smoke run; its figures are worth nothing")
    for said in card.get("known_weaknesses", ()):
        yield _line("weakness", said)


def _evaluations(card: Mapping[str, Any]) -> Iterator[str]:
    entries = sorted(card.get("evaluations", ()), key=lambda found: -found["overall"]["images"])
    for found in entries:
        overall = found["overall"]
        shown = "  ".join(f"{key} {overall[key]:.4f}" for key in ("accuracy", "auroc") if overall[key] is not None)
        yield _line("evaluated", f"{found['data']}: {overall['images']:,} images{_subset(found)}  {shown}")
        if found.get("covers"):
            yield _line("  of", found["covers"])
        yield from _accused(found)
        for said in found.get("weaknesses", ()):
            yield _line("  weakness", said)
        if "heatmaps" in found:
            yield _line("  heatmaps", f"put to the test on {found['heatmaps']['images']} AI-generated images")


def _subset(found: Mapping[str, Any]) -> str:
    if "--limit" not in found["data"]:
        return ""
    return " (a subset, for its heatmaps)" if "heatmaps" in found else " (a subset)"
