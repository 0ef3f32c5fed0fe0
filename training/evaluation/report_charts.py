"""Charts of an evaluation report: points → SVG that follows the page's light or dark colours.

Matplotlib draws with stand-in colours, which become the page's CSS variables, and leaves text as text.
"""

from __future__ import annotations

import io
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from matplotlib.axes import Axes

# Stand-in → CSS variable of the template; no colour otherwise in use.
INK, FAINT, AI, REAL, MARK, CARD = "#010203", "#040506", "#070809", "#0a0b0c", "#0d0e0f", "#101112"
_VARIABLES = {INK: "--ink", FAINT: "--line", AI: "--ai", REAL: "--real", MARK: "--mark", CARD: "--card"}
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.facecolor": CARD,
    "legend.edgecolor": CARD,
    "legend.framealpha": 0.8,
    "lines.linewidth": 2.0,
}
_LEAST_RATE = 1e-4
_GROUPS_SHOWN = 12
_NAME_SHOWN = 28
_LEAST_ROWS = 3


@contextmanager
def _axes(name: str, width: float = 4.6, height: float = 3.8) -> Iterator[tuple[Axes, list[str]]]:
    """Give axes to draw into; the list holds the finished SVG afterwards."""
    drawn: list[str] = []
    style: Any = {**_STYLE, "svg.hashsalt": name}
    with mpl.rc_context(style):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure.add_subplot(), drawn
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    # Ids of several drawings meet in one page.
    text = re.sub(r'id="', f'id="{name}-', text)
    text = re.sub(r'(href="|url\()#', rf"\1#{name}-", text)
    # The page gives the type face.
    text = re.sub(r"font: ([^;\"]*?)px [^;\"]*", r"font-size: \1px", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    drawn.append(text)


def roc(points: Mapping[str, Sequence[float]], auroc: float) -> str:
    """Draw the ROC curve over a logarithmic false-positive rate: what matters happens below one in a hundred."""
    with _axes("roc") as (axes, drawn):
        rates = [max(rate, _LEAST_RATE) for rate in points["false_positive_rate"]]
        axes.step(rates, points["true_positive_rate"], where="post", color=AI, label=f"AUROC {auroc:.4f}")
        chance = [10 ** (step / 20 - 4) for step in range(81)]
        axes.plot(chance, chance, color=INK, linewidth=1, linestyle=":", label="chance")
        for rate in (0.001, 0.01):
            axes.axvline(rate, color=MARK, linewidth=1, linestyle="--")
        axes.set(xscale="log", xlim=(_LEAST_RATE, 1), ylim=(0, 1.01))
        axes.set_xticks([10.0**power for power in range(-4, 1)], ["0.01 %", "0.1 %", "1 %", "10 %", "100 %"])
        axes.minorticks_off()
        axes.set(xlabel="not AI-generated, called so (logarithmic)", ylabel="AI-generated found")
        axes.legend(loc="best")
    return drawn[0]


def precision_recall(points: Mapping[str, Sequence[float]], average: float, share: float) -> str:
    """Draw the precision-recall curve; `share` is what guessing gives."""
    with _axes("pr") as (axes, drawn):
        axes.plot(points["recall"], points["precision"], color=AI, label=f"average precision {average:.4f}")
        axes.axhline(share, color=INK, linewidth=1, linestyle=":", label=f"guessing {share:.2f}")
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
        axes.legend(loc="lower left")
    return drawn[0]


def reliability(bins: Sequence[Mapping[str, float]], error: float) -> str:
    """Draw what was said against what was so; the size of a dot grows with its images."""
    with _axes("reliability") as (axes, drawn):
        axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=":", label="said truly")
        predicted, so = [b["mean_probability"] for b in bins], [b["ai_generated_share"] for b in bins]
        most = max(b["images"] for b in bins)
        sizes = [12 + 140 * b["images"] / most for b in bins]
        axes.plot(predicted, so, color=AI, linewidth=1)
        axes.scatter(predicted, so, s=sizes, color=AI, label=f"15 bins, ECE {error:.4f}", zorder=3)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="probability said", ylabel="share that is AI-generated")
        axes.legend(loc="upper left", markerscale=0.6)
    return drawn[0]


def histogram(counts: Mapping[str, Sequence[float]], lower: float, upper: float) -> str:
    """Draw how many images of each class got which probability, between them the cuts of the verdict."""
    with _axes("histogram", 9.4, 3.2) as (axes, drawn):
        edges = counts["edges"]
        for name, colour in (("not_ai_generated", REAL), ("ai_generated", AI)):
            label = name.replace("_", " ").replace("ai ", "AI-")
            axes.stairs(counts[name], edges, color=colour, fill=True, alpha=0.35)
            axes.stairs(counts[name], edges, color=colour, linewidth=1.6, label=label)
        for cut in sorted({lower, upper}):
            axes.axvline(cut, color=MARK, linewidth=1.4, linestyle="--")
        axes.axvspan(lower, upper, color=MARK, alpha=0.07, linewidth=0)
        axes.annotate("uncertain", ((lower + upper) / 2, 1.02), xycoords=("data", "axes fraction"), ha="center")
        axes.set(yscale="symlog", xlim=(0, 1), xlabel="probability of being AI-generated", ylabel="images (log)")
        axes.set_ylim(bottom=0)
        axes.legend(loc="upper left", bbox_to_anchor=(0, 1.16), ncols=2, borderaxespad=0)
    return drawn[0]


def robustness(changes: Mapping[str, Mapping[str, Any]]) -> str:
    """Draw AUROC and accuracy of the same images after each change, with intervals."""
    with _axes("robustness", 9.4, 3.4) as (axes, drawn):
        names = list(changes)
        for key, colour, shift in (("auroc", AI, -0.07), ("accuracy", REAL, 0.07)):
            places = [i for i, name in enumerate(names) if changes[name][key] is not None]
            values = [float(changes[names[i]][key]) for i in places]
            lows, highs = _arms([changes[names[i]] for i in places], key)
            along = [place + shift for place in places]
            label = {"auroc": "AUROC", "accuracy": "accuracy"}[key]
            axes.errorbar(along, values, yerr=[lows, highs], color=colour, marker="o", capsize=3, label=label)
        axes.set_xticks(range(len(names)), [name.replace("_", " ") for name in names])
        axes.set_ylim(top=1.01)
        axes.axhline(0.5, color=INK, linewidth=1, linestyle=":")
        axes.legend(loc="best", ncols=2)
    return drawn[0]


def worst_groups(groups: Mapping[str, Mapping[str, Any]], name: str) -> str:
    """Draw the accuracy of the worst groups, the very worst on top."""
    shown = list(groups.items())[:_GROUPS_SHOWN]
    rows = max(len(shown), _LEAST_ROWS)
    with _axes(name, 4.6, 1.0 + 0.3 * rows) as (axes, drawn):
        places = range(len(shown))
        values = [float(figures["accuracy"]) for _, figures in shown]
        lows, highs = _arms([figures for _, figures in shown], "accuracy")
        axes.barh(places, values, color=REAL, alpha=0.45, height=0.62)
        axes.errorbar(values, places, xerr=[lows, highs], fmt="none", ecolor=INK, elinewidth=1.2, capsize=3)
        axes.set_yticks(places, [_short(group) + f"  ({figures['images']:,})" for group, figures in shown])
        axes.set_ylim(rows - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set(xlim=(0, 1), xlabel="accuracy at one half")
    return drawn[0]


def _arms(groups: Sequence[Mapping[str, Any]], key: str) -> tuple[list[float], list[float]]:
    ends = [group.get("intervals_95", {}).get(key, (group[key], group[key])) for group in groups]
    lows = [max(0.0, float(group[key]) - low) for group, (low, _) in zip(groups, ends, strict=True)]
    return lows, [max(0.0, high - float(group[key])) for group, (_, high) in zip(groups, ends, strict=True)]


def _short(name: str) -> str:
    short = name if len(name) <= _NAME_SHOWN else name[: _NAME_SHOWN - 1] + "…"
    return short.replace("$", r"\$")  # a pair of them would be read as a formula
