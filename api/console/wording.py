"""How the console writes figures, times and words. Pure."""

from datetime import UTC, datetime
from typing import Any

from worker.decisions.action import ActionCase
from worker.decisions.policy import Rules
from worker.detectors.names import title_of

_NONE = "\N{EN DASH}"
_RARE = 0.1  # up to this, a share is told as one in so many
# What a page says after a form was sent. Addresses carry the name alone, so that nobody can put words of their own
# on our pages with a link.
_NOTICES = {
    "signed_out": "You are signed out.",
    "appeal_decided": "The appeal is decided; what you said is served from now on.",
    "view_saved": "The view is saved.",
    "view_removed": "The view is gone.",
    "labelled_many": "Done. Your verdict is served for all of them from now on.",
    "terms_set": "These reasons and this goal count from now on.",
    "terms_removed": "This source goes by what counts for all again.",
    "labelled": "Thank you. Your verdict is served from now on.",
    "erased": "The image was erased.",
    "heatmaps_asked": "Heatmaps are on their way; they show up here.",
    "replayed": "Queued again, with all its attempts.",
    "run_queued": "The run is queued; a training worker takes it.",
    "run_cancelled": "The run ends.",
    "promoted": "This bundle serves from now on. Workers swap between two batches.",
    "rolled_back": "The bundle before serves again, and so do the verdicts before.",
    "challenged": "The bundle scans in shadow from now on.",
    "withdrawn": "The bundle rests and its open scans ended; what it has judged is kept.",
    "policy_made": "The new policy counts for every scan that is taken from now on.",
    "rescan_queued": "History is scanned again, behind all live images.",
    "rescan_cancelled": "No more scans are made; those that are queued are still done.",
    "redelivered": "The message is sent again.",
    "revoked": "It opens nothing any more, and its sessions have ended.",
    "let_in": "They may sign in again.",
    "endpoint_removed": "The endpoint is gone, with all that waited for it.",
    "endpoint_on": "The endpoint is told again.",
    "endpoint_off": "The endpoint is told nothing more.",
}


def notice_text(name: str | None) -> str | None:
    """Return what a page says after a form was sent; nothing for a name that we did not give."""
    return _NOTICES.get(name or "")


def percent(share: float | None, digits: int = 1) -> str:
    """Write a share as percent; a dash where there is none."""
    return _NONE if share is None else f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"


def figure(value: Any, digits: int = 3) -> str:
    """Write a number; whole ones with their thousands apart, a dash where there is none."""
    if value is None:
        return _NONE
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def plain(value: Any) -> str:
    """Write any single value of a card or a report: numbers as short as they come, the rest as it is."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: _NONE}[value]
    return f"{value:.4g}" if isinstance(value, float) else figure(value)


def in_percent(share: float | None) -> str:
    """Return a share as the percent that a form's field shows; empty for None."""
    return "" if share is None else f"{100 * share:.6g}"


def moment(time: datetime | None) -> str:
    """Return a time as people read it, in UTC."""
    return _NONE if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def duration(seconds: float | None) -> str:
    """Write a length of time, roughly."""
    if seconds is None:
        return _NONE
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f}\N{NO-BREAK SPACE}{unit}"
    return f"{max(0.0, seconds):.0f}\N{NO-BREAK SPACE}s"


def size(count: float | None) -> str:
    """Write a number of bytes."""
    if count is None:
        return _NONE
    for factor, unit in ((1 << 20, "MB"), (1 << 10, "KB")):
        if count >= factor:
            return f"{count / factor:.1f}\N{NO-BREAK SPACE}{unit}"
    return f"{count:.0f}\N{NO-BREAK SPACE}B"


def words(name: str) -> str:
    """Write a word of the API as people say it."""
    spoken = name.replace("not_ai_generated", "not AI-generated").replace("ai_generated", "AI-generated")
    return spoken.replace("_", " ")


def headline(name: str) -> str:
    """Write a word of the API at the beginning of a line."""
    spoken = words(name)
    return spoken[:1].upper() + spoken[1:]


def standing(probability: float | None, lower: float | None, upper: float | None, rules: Rules | None = None) -> str:
    """Say in words where a probability stands between its thresholds.

    Args:
        probability: calibrated, 0 to 1.
        lower: threshold below which an image is cleared.
        upper: threshold above which it is accused.
        rules: what the thresholds were made from; without them nothing is said of budgets.
    """
    if probability is None or lower is None or upper is None:
        return "No detector judged this image."
    if probability > upper:
        budget = rules and f"at most {out_of(rules.false_positive_budget, 'photograph')} would be accused"
        return f"Above {percent(upper)}, the line above which {budget or 'the policy accuses'}."
    if probability < lower:
        budget = rules and f"at most {out_of(rules.miss_budget, 'AI-generated image')} would be cleared"
        return f"Below {percent(lower)}, the line below which {budget or 'the policy clears'}."
    return f"Between {percent(lower)} and {percent(upper)}: the policy neither accuses nor clears."


def out_of(share: float, what: str) -> str:
    """Write a small share as people count: "1 photograph in 100"."""
    if share <= 0:
        return f"no {what}"
    if share <= _RARE:
        return f"1 {what} in {figure(round(1 / share))}"
    return f"{round(100 * share)} {what}s in 100"


def origin(rule: str) -> str:
    """Write what a policy makes of a file's own word."""
    return {
        "decides": "is called AI-generated",
        "uncertain": "is never cleared",
        "ignore": "is judged by its pixels alone",
    }.get(rule, rule)


def case_in_words(case: ActionCase) -> str:
    """Write the case for which a policy recommends an action."""
    return {
        ActionCase.AI_GENERATED: "AI-generated",
        ActionCase.UNCERTAIN: "Uncertain",
        ActionCase.NOT_AI_GENERATED: "Not AI-generated",
        ActionCase.PROVENANCE: "AI-generated by a trusted signature",
        ActionCase.DECLARED: "AI-generated by the file's own word",
        ActionCase.NO_VERDICT: "No verdict: rejected or dead",
    }[case]


def known_as(name: str) -> str:
    """Write the name of a detector as its makers do."""
    return title_of(name)


FILTERS = {
    "percent": percent,
    "figure": figure,
    "plain": plain,
    "in_percent": in_percent,
    "moment": moment,
    "duration": duration,
    "size": size,
    "words": words,
    "headline": headline,
    "origin": origin,
    "known_as": known_as,
}
