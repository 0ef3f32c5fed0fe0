"""Rows of `build/bench.json`: what was measured, its aim, whether that is met, and the command that measures it."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        name: what was measured.
        figure: the value; None where it was not measured, which is not met.
        unit: of the figure.
        aim: that the figure is held against; None for figures that only inform.
        command: that measures it.
        more_is_better: a figure above its aim meets it; else one below.
    """

    name: str
    figure: float | None
    unit: str
    aim: float | None
    command: str
    more_is_better: bool = False

    @property
    def met(self) -> bool | None:
        """Tell whether the aim is met; None where there is none."""
        if self.aim is None:
            return None
        if self.figure is None:
            return False
        return self.figure >= self.aim if self.more_is_better else self.figure <= self.aim

    def to_json(self) -> dict[str, object]:
        """Return the row as `build/bench.json` has it."""
        named = {"name": self.name, "figure": self.figure, "unit": self.unit}
        return {**named, "aim": self.aim, "met": self.met, "command": self.command}


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write rows to a file, which is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([row.to_json() for row in rows], indent=1) + "\n", encoding="utf-8")


def read_rows(path: Path) -> list[dict[str, object]]:
    """Return the rows of a file as they were written; none where it is not there."""
    return list(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else []


def keep_row(path: Path, row: Row) -> None:
    """Put a row into a file of rows, in place of an earlier one of that name."""
    others = [other for other in read_rows(path) if other["name"] != row.name]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([*others, row.to_json()], indent=1) + "\n", encoding="utf-8")


def table(rows: Iterable[dict[str, object]]) -> str:
    """Return rows for people."""
    return "\n".join(_line(row) for row in rows)


def _line(row: dict[str, object]) -> str:
    figure = "not measured" if row["figure"] is None else f"{row['figure']:g} {row['unit']}"
    aim = "" if row["aim"] is None else f"aim {row['aim']:g}, {'met' if row['met'] else 'missed'}"
    return f"  {row['name']:<64} {figure:>20}   {aim}"
