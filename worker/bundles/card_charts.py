"""Charts of a card: its headline → at most four drawings, which console and card page share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from worker.bundles.card_drawing import BOTTOM, HEIGHT, TOP, Frame, area, axes, bar, dot, legend, line, text, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from worker.bundles.card_measures import Curve, Histogram, ReliabilityBin, Thresholds
    from worker.bundles.headline import Headline

_LEAST_POWER = -4  # of a rate of ten, where the logarithmic axis begins
_RATES = ("0.01 %", "0.1 %", "1 %", "10 %", "100 %")
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
_NAMED, _ROW = 5, 26
_WORDS = {"unchanged": "as they are", "resize_0.5": "half the size", "resize_0.25": "a quarter of it"}


class Chart(NamedTuple):
    """A drawing: a word for its place in the page, its title, what it shows, and the SVG."""

    name: str
    title: str
    caption: str
    svg: str


def charts(figures: Headline) -> list[Chart]:
    """Draw what a headline has points for."""
    drawn: list[Chart] = []
    points = figures.curves
    if points is not None and points.roc is not None:
        drawn.append(_roc(points.roc, figures))
    if points is not None and points.histogram is not None:
        drawn.append(_histogram(points.histogram, figures))
    if figures.auroc_by_source:
        drawn.append(_sources(figures.auroc_by_source, figures.auroc_mean))
    elif points is not None and points.reliability:
        drawn.append(_reliability(points.reliability))
    if figures.auroc_by_change:
        drawn.append(_changes(figures.auroc_by_change))
    return drawn


def _roc(curve: Curve, figures: Headline) -> Chart:
    frame = Frame()
    pairs = sorted(zip(curve.false_positive_rate, curve.true_positive_rate, strict=True))
    by_chance = [10 ** (step / 10 + _LEAST_POWER) for step in range(41)]
    parts = [
        axes(
            frame,
            [(place / 4, label) for place, label in enumerate(_RATES)],
            [(share, f"{100 * share:.0f} %") for share in _SHARES],
            "not AI-generated, called so (logarithmic)",
        ),
        line([(frame.x(_logarithmic(rate)), frame.y(rate)) for rate in by_chance], "ink thin dashed"),
        text(frame.x(0.83), frame.y(0.1), "chance", "soft small"),
        line([(frame.x(_logarithmic(rate)), frame.y(hit)) for rate, hit in pairs], "ai"),
    ]
    accused, hits = figures.overall.wrongly_accused, figures.overall.found
    if accused is not None and hits is not None:
        words = f"shipped policy: {100 * hits:.1f} % found, {100 * accused:.2f} % of all others accused"
        parts += [dot((frame.x(_logarithmic(accused)), frame.y(hits)), 6, "mark"), legend(frame, [("mark", words)])]
    caption = "Each point of the line is a threshold. What matters happens below one in a hundred."
    return _chart("found", "AI pictures found, pictures wrongly accused", caption, frame, parts)


def _logarithmic(rate: float) -> float:
    return 1.0 - math.log10(max(rate, 10**_LEAST_POWER)) / _LEAST_POWER


def _histogram(counts: Histogram, figures: Headline) -> Chart:
    frame = Frame()
    by_kind = {"real": counts.not_ai_generated, "ai": counts.ai_generated}
    shares = {kind: [count / max(sum(of_kind), 1) for count in of_kind] for kind, of_kind in by_kind.items()}
    most = max((max(of_kind, default=0.0) for of_kind in shares.values()), default=0.0) or 1.0
    parts = [
        axes(
            frame,
            [(share, f"{share:g}") for share in _SHARES],
            [(share, f"{100 * share * most:.1f} %") for share in _SHARES],
            "probability of being AI-generated",
        )
    ]
    parts += [
        _outline(frame, counts.edges, [share / most for share in of_kind], kind) for kind, of_kind in shares.items()
    ]
    parts += _cuts(frame, figures.thresholds)
    parts.append(legend(frame, (("real", "not AI-generated"), ("ai", "AI-generated"))))
    caption = "Share of each kind by probability. Between the dashed lines the verdict is uncertain."
    return _chart("probabilities", "What it says of either kind", caption, frame, parts)


def _outline(frame: Frame, edges: Sequence[float], heights: Sequence[float], kind: str) -> str:
    points = [(frame.x(0.0), frame.y(0.0))]
    for low, high, height in zip(edges, edges[1:], heights, strict=False):
        points += [(frame.x(low), frame.y(height)), (frame.x(high), frame.y(height))]
    return area([*points, (frame.x(1.0), frame.y(0.0))], kind)


def _cuts(frame: Frame, thresholds: Thresholds | None) -> list[str]:
    if thresholds is None:
        return []
    lower, upper = thresholds.lower, thresholds.upper
    return [
        *(line([(frame.x(x), frame.y(0.0)), (frame.x(x), frame.y(1.0))], "mark dashed") for x in (lower, upper)),
        text(frame.x(lower) + 6, frame.y(0.95), f"above {lower:.2f} not cleared", "ink small"),
        text(frame.x(upper) - 6, frame.y(0.87), f"above {upper:.2f} accused", "ink small", "end"),
    ]


def _sources(ranks: dict[str, float], mean: float | None) -> Chart:
    frame, ordered = Frame(), sorted(ranks.items(), key=lambda item: item[1])
    up, ticks = _from_tenth_below(ranks.values())
    parts = [axes(frame, [], ticks, f"{len(ordered)} AI sources, the worst first")]
    if mean is not None:
        parts += [
            line([(frame.x(0.0), frame.y(up(mean))), (frame.x(1.0), frame.y(up(mean)))], "mark dashed"),
            text(frame.x(0.0) + 6, frame.y(up(mean)) - 7, f"mean {mean:.3f}", "ink small"),
        ]
    for place, (name, value) in enumerate(ordered):
        at = frame.x((place + 0.5) / len(ordered)), frame.y(up(value))
        parts.append(dot(at, 4, "ai", f"{name} {value:.3f}"))
    parts += [
        text(frame.x(1.0), frame.y(0.42 - 0.075 * place), f"{name} {value:.2f}", "ink small", "end")
        for place, (name, value) in enumerate(ordered[:_NAMED])
    ]
    caption = "AUROC of each AI source against all photographs of its fold. The five worst are named."
    return _chart("sources", "How well each source is told from photographs", caption, frame, parts)


def _reliability(bins: Sequence[ReliabilityBin]) -> Chart:
    frame, most = Frame(), max(one.images for one in bins)
    ticks = [(share, f"{share:g}") for share in _SHARES]
    points = [(frame.x(one.mean_probability), frame.y(one.ai_generated_share)) for one in bins]
    parts = [
        axes(frame, ticks, ticks, "probability that was said"),
        line([(frame.x(0.0), frame.y(0.0)), (frame.x(1.0), frame.y(1.0))], "ink thin dashed"),
        line(points, "ai thin"),
    ]
    for place, one in zip(points, bins, strict=True):
        parts.append(dot(place, 3 + 5 * math.sqrt(one.images / most), "ai", f"{one.images:,} images"))
    caption = "Share of AI-generated images by the probability that was said. On the dashed line both agree."
    return _chart("reliability", "What was said, and what is so", caption, frame, parts)


def _changes(by_change: dict[str, float]) -> Chart:
    frame = Frame(left=130, height=max(HEIGHT, TOP + BOTTOM + _ROW * len(by_change)))
    step = (frame.height - TOP - BOTTOM) / len(by_change)
    along, ticks = _from_tenth_below(by_change.values())
    unchanged = next(iter(by_change.values()))
    parts = [axes(frame, ticks, [], "AUROC")]
    for place, (name, value) in enumerate(by_change.items()):
        middle, end = TOP + (place + 0.5) * step, frame.x(along(value))
        lost = "" if place == 0 else f" ({value - unchanged:+.3f})"
        parts += [
            bar((frame.x(0.0), middle - step / 3), (end, middle + step / 3), "real" if place == 0 else "ai"),
            text(frame.x(0.0) - 8, middle + 4, _in_words(name), "ink small", "end"),
            text(frame.x(0.0) + 8, middle + 4, f"{value:.3f}{lost}", "inside small"),
        ]
    caption = "The same images again, changed as networks and people change them."
    return _chart("changes", "After changes of the pixels", caption, frame, parts)


def _from_tenth_below(values: Iterable[float]) -> tuple[Callable[[float], float], list[tuple[float, str]]]:
    """Return an axis from the tenth below all values, at most one half, up to 1: the share of a value, and ticks."""
    low = math.floor(10 * min(0.5, *values)) / 10

    def share_of(value: float) -> float:
        return (value - low) / (1.0 - low)

    tenths = [tenth / 10 for tenth in range(round(10 * low), 11)]
    return share_of, [(share_of(tenth), f"{tenth:.1f}") for tenth in tenths]


def _in_words(change: str) -> str:
    return _WORDS.get(change) or change.replace("_", " ").replace("jpeg", "JPEG").replace("webp", "WebP")


def _chart(name: str, title: str, caption: str, frame: Frame, parts: Iterable[str]) -> Chart:
    return Chart(name, title, caption, whole(title, frame, parts))
