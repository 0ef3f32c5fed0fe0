"""What the demo prints: a row for each image, and the totals."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from statistics import median
from typing import Any, Protocol

from rich.markup import escape
from rich.table import Table

from infra.demo_images import DemoImage
from infra.stack import Doors
from worker.database.outcomes import Outcome
from worker.decisions.detector_order import has_vote, heaviest_first
from worker.decisions.vocabulary import DecidedBy
from worker.detectors.names import DetectorName

_COLOURS = {"ai_generated": "red", "uncertain": "yellow", "not_ai_generated": "green"}
_LONGEST_NAME = 34
_BY_THE_FILE = (DecidedBy.DECLARED, DecidedBy.PROVENANCE)


class Sent(Protocol):
    """An image that was put into the bucket, and when."""

    @property
    def image(self) -> DemoImage:
        """The image that was put."""

    @property
    def at(self) -> datetime:
        """When the put began."""


def outcome_rows(ended: Sequence[tuple[Sent, Outcome | None]]) -> list[dict[str, Any]]:
    """Return one row an image; milliseconds run from the start of the put to the end of the scan."""
    return [_row(sent, outcome) for sent, outcome in ended]


def outcome_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return the rows as a table for people."""
    ids = [row["image_id"] for row in rows if row.get("image_id")]
    titles = _titles(rows)
    notes = [f"ask for an image by its id, such as {escape(ids[0])}"] if ids else []
    notes += ["detectors in brackets have no vote"] if any(name != title for name, title in titles.items()) else []
    notes += ["heatmaps are on an image's page of the console"] if any(row["heatmaps"] for row in rows) else []
    columns = ("image", "is", "verdict", "probability", *titles.values(), "heatmap", "ms")
    table = Table(*columns, caption="\n".join(notes) or None, caption_justify="left")
    for row in rows:
        table.add_row(*_cells(row, list(titles)))
    return table


def _titles(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the columns of the detectors that judged, by name, those with a vote first and the others in brackets."""
    detectors: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        detectors |= row["detectors"]
    names = [name.value for name in DetectorName if name in detectors]
    voting = [name for name in names if has_vote(detectors[name])]
    return {name: name for name in voting} | {name: f"({name})" for name in names if name not in voting}


def _cells(row: Mapping[str, Any], detectors: Sequence[str]) -> list[str]:
    verdict = row["verdict"] or row["state"]
    colour = _COLOURS.get(verdict, "magenta")
    remark = row["reason"] or (row["decided_by"] if row["decided_by"] in _BY_THE_FILE else "")
    outcome = f"[{colour}]{verdict}[/]" + (f" ({remark})" if remark else "")
    figures = [_figure(row["detectors"].get(name, {}).get("probability")) for name in detectors]
    heatmap = next((row["heatmaps"][name] for name in heaviest_first(row["heatmaps"], row["detectors"])), "")
    name, milliseconds = escape(row["image"][-_LONGEST_NAME:]), "" if row["ms"] is None else str(row["ms"])
    return [name, row["truth"], outcome, _figure(row["probability"]), *figures, heatmap, milliseconds]


def totals(ended: Sequence[tuple[Sent, Outcome | None]], doors: Doors, *, stays_up: bool) -> str:
    """Return the closing lines: how many of what, how long, and where to go next, now or once it is up again."""
    counts = Counter((outcome.verdict or outcome.state) if outcome else "pending" for _, outcome in ended)
    waits = [row["ms"] for row in outcome_rows(ended) if row["ms"] is not None]
    middle = f", half of them within {median(waits):.0f} ms of their put" if waits else ""
    shares = ", ".join(f"{count} {name}" for name, count in counts.most_common())
    doors_told = f"console {doors.api_url}/console   API {doors.api_url}/docs   Flower {doors.flower_url}"
    if not stays_up:
        doors_told = f"`make up` keeps it up, with these images in it: {doors_told}"
    return f"{len(ended)} images: {shares}{middle}\n{doors_told}"


def _row(sent: Sent, outcome: Outcome | None) -> dict[str, Any]:
    row: dict[str, Any] = {"image": sent.image.name, "truth": sent.image.truth}
    if outcome is None:
        return {
            **row,
            **dict.fromkeys(("verdict", "decided_by", "probability", "reason", "ms")),
            "state": "pending",
        } | {
            "detectors": {},
            "heatmaps": {},
        }
    took = (outcome.ended_at - sent.at).total_seconds() * 1000 if outcome.ended_at else None
    return {
        **row,
        "image_id": outcome.image_id,
        "state": outcome.state,
        "reason": outcome.reason,
        "verdict": outcome.verdict,
        "decided_by": outcome.decided_by,
        "probability": outcome.probability,
        "detectors": outcome.detectors,
        "heatmaps": outcome.heatmaps,
        "ms": None if took is None else round(took),
    }


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
