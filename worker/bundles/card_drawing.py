"""Marks of a card's charts, as SVG text: axes, lines, dots, bars, words.

Plain SVG, for the console's content policy allows neither inline styles nor scripts, and its process has no plotting
library. Colours and sizes of type are classes of the page's style sheet, each with `c-` before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    Point = tuple[float, float]
    Ticks = Iterable[tuple[float, str]]

WIDTH, HEIGHT = 520, 300
TOP, BOTTOM = 18, 46
_LEFT, _RIGHT = 54, 26


@dataclass(frozen=True)
class Frame:
    """Where shares of 0 to 1 along both axes lie in a drawing, in its units."""

    left: float = _LEFT
    height: float = HEIGHT

    def x(self, share: float) -> float:
        """Place a share along the lower edge."""
        return round(self.left + share * (WIDTH - self.left - _RIGHT), 1)

    def y(self, share: float) -> float:
        """Place a share from the lower edge up."""
        return round(self.height - BOTTOM - share * (self.height - TOP - BOTTOM), 1)


def whole(title: str, frame: Frame, parts: Iterable[str]) -> str:
    """Put the parts of a drawing together; `title` is for those who cannot see it."""
    return (
        f'<svg class="card-chart" viewBox="0 0 {WIDTH} {frame.height:g}" role="img" aria-label="{escape(title)}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )


def axes(frame: Frame, along: Ticks, up: Ticks, below: str) -> str:
    """Draw grid lines at ticks (share, label), their labels, and what the lower axis means."""
    lines = []
    for share, label in along:
        x = frame.x(share)
        lines.append(line([(x, frame.y(0.0)), (x, frame.y(1.0))], "grid"))
        lines.append(text(x, frame.y(0.0) + 16, label, "soft small", "middle"))
    for share, label in up:
        y = frame.y(share)
        lines.append(line([(frame.x(0.0), y), (frame.x(1.0), y)], "grid"))
        lines.append(text(frame.x(0.0) - 7, y + 4, label, "soft small", "end"))
    lines.append(text(frame.x(0.5), frame.height - 8, below, "soft", "middle"))
    return "".join(lines)


def line(points: Iterable[Point], kind: str) -> str:
    """Draw a line through points."""
    return f'<polyline class="{_classes("line", kind)}" points="{_joined(points)}"/>'


def area(points: Iterable[Point], kind: str) -> str:
    """Draw a filled outline."""
    return f'<polygon class="{_classes("area", kind)}" points="{_joined(points)}"/>'


def dot(place: Point, radius: float, kind: str, words: str = "") -> str:
    """Draw a dot; `words` stand beside the pointer."""
    inside = f"<title>{escape(words)}</title>" if words else ""
    x, y = place
    return f'<circle class="{_classes("dot", kind)}" cx="{x:g}" cy="{y:g}" r="{radius:g}">{inside}</circle>'


def bar(begin: Point, end: Point, kind: str) -> str:
    """Draw a bar between two corners, upper left and lower right."""
    (x, y), width, height = begin, end[0] - begin[0], end[1] - begin[1]
    return f'<rect class="{_classes("bar", kind)}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"/>'


def text(x: float, y: float, words: str, kind: str, anchor: Literal["start", "middle", "end"] = "start") -> str:
    """Write words at a place."""
    return f'<text class="{_classes("text", kind)}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(words)}</text>'


def legend(frame: Frame, kinds: Iterable[tuple[str, str]]) -> str:
    """Say in a line above the drawing which colour (class, words) is what."""
    parts, x = [], frame.x(0.0)
    for kind, words in kinds:
        parts += [bar((x, 2), (x + 12, 12), kind), text(x + 17, 11, words, "ink small")]
        x += 40 + 6 * len(words)
    return "".join(parts)


def _classes(*kinds: str) -> str:
    return " ".join(f"c-{name}" for kind in kinds for name in kind.split())


def _joined(points: Iterable[Point]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in points)
