"""What cards and reports hold, as pages show it. Pure, and tolerant: what is not there is not shown."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from api.console.wording import figure, percent

_SHARE, _FIGURE = "share", "figure"
# Name in reports, in words, how it is written.
_MEASURES = (
    ("auroc", "AUROC", _FIGURE),
    ("accuracy", "Accuracy", _SHARE),
    ("balanced_accuracy", "Balanced accuracy", _SHARE),
    ("ap", "Average precision", _FIGURE),
    ("tpr_at_fpr_1pct", "Found at 1 % false positives", _SHARE),
    ("tpr_at_fpr_0.1pct", "Found at 0.1 % false positives", _SHARE),
    ("precision", "Precision", _SHARE),
    ("recall", "Recall", _SHARE),
    ("f1", "F1", _FIGURE),
    ("false_positive_rate", "False positives at one half", _SHARE),
    ("brier", "Brier score", _FIGURE),
    ("ece_15", "Calibration error", _FIGURE),
    ("ece_15_at_own_prior", "Calibration error, prior shift set", _FIGURE),
    ("coverage", "Coverage", _SHARE),
    ("accuracy_outside_uncertain", "Accuracy outside uncertain", _SHARE),
    ("wrongly_accused", "Wrongly accused", _SHARE),
    ("found", "Found", _SHARE),
    ("wrongly_cleared", "Wrongly cleared", _SHARE),
)
_POINTS = 400
_OUTCOMES = ("tn", "fp", "fn", "tp")


class MeasurePair(NamedTuple):
    """A measure of champion and challenger side by side."""

    name: str
    champion: str
    challenger: str


class Curves(NamedTuple):
    """What charts draw; each None where there is nothing.

    Attributes:
        roc: false-positive rates and true-positive rates.
        precision_recall: recalls and precisions.
        reliability: mean probabilities and shares of AI-generated images, a pair a bin.
        histogram: middles of bins, and counts of either class.
    """

    roc: list[list[float]] | None
    precision_recall: list[list[float]] | None
    reliability: list[list[float]] | None
    histogram: list[list[float]] | None


def confusion_in(measured: Any) -> dict[str, int] | None:
    """Return `tn fp fn tp` of measures, if they are there."""
    counts = measured.get("confusion") if isinstance(measured, Mapping) else None
    if not isinstance(counts, Mapping) or not all(
        isinstance(counts.get(name), int) for name in ("tn", "fp", "fn", "tp")
    ):
        return None
    return {name: counts[name] for name in ("tn", "fp", "fn", "tp")}


def compared_in(measured: Any) -> list[MeasurePair]:
    """Return what a gate measured on one part of its images, champion and challenger side by side."""
    champion, challenger = (_mapping(_mapping(measured).get(role)) for role in ("champion", "challenger"))
    return [
        MeasurePair(name, _written(champion.get(key), kind), _written(challenger.get(key), kind))
        for key, name, kind in _MEASURES
        if _is_number(champion.get(key)) or _is_number(challenger.get(key))
    ]


def curves_in(document: Any) -> Curves | None:
    """Return the first curves that are anywhere in a card or report."""
    curves = _first(document, "curves")
    if not isinstance(curves, Mapping):
        return None
    histogram = _mapping(curves.get("histogram"))
    edges = histogram.get("edges") or []
    middles = [(low + high) / 2 for low, high in pairwise(edges)]
    return Curves(
        _pair(curves.get("roc"), "false_positive_rate", "true_positive_rate"),
        _pair(curves.get("precision_recall"), "recall", "precision"),
        _bins(curves.get("reliability")),
        [middles, list(histogram["not_ai_generated"]), list(histogram["ai_generated"])] if middles else None,
    )


def losses_in(events: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the loss of each detector along its steps, thinned: `name`, `points` as two lists."""
    lines: dict[str, list[list[float]]] = {}
    for data in events:
        along = data.get("step", data.get("done", data.get("progress")))
        if _is_number(data.get("loss")) and _is_number(along):
            steps, losses = lines.setdefault(str(data.get("detector") or "loss"), [[], []])
            if not steps or along > steps[-1]:
                steps.append(float(along))
                losses.append(float(data["loss"]))
    return [{"name": name, "points": [_thinned(values) for values in line]} for name, line in lines.items()]


def _thinned(values: list[float]) -> list[float]:
    every = -(-len(values) // _POINTS)
    return values[:: every or 1]


def _first(document: Any, name: str) -> Any:
    if isinstance(document, Mapping):
        if document.get(name):
            return document[name]
        inner = list(document.values())
    else:
        inner = document if isinstance(document, list) else []
    return next((value for part in inner if (value := _first(part, name)) is not None), None)


def _pair(curve: Any, x: str, y: str) -> list[list[float]] | None:
    points = _mapping(curve)
    if not points.get(x) or len(points[x]) != len(points.get(y) or ()):
        return None
    along = sorted(zip(points[x], points[y], strict=True))
    return [[one for one, _ in along], [other for _, other in along]]


def _bins(value: Any) -> list[list[float]] | None:
    bins = [_mapping(one) for one in value] if isinstance(value, list) else []
    points = [(one["mean_probability"], one["ai_generated_share"]) for one in bins if "mean_probability" in one]
    return [[x for x, _ in points], [y for _, y in points]] if points else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _written(value: Any, kind: str) -> str:
    if not _is_number(value):
        return percent(None)
    return percent(value) if kind is _SHARE else figure(float(value))
