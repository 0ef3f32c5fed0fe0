"""A run's folder: of one order only, and of one process at a time (with those it was launched with)."""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from training.fitting.run import CHECKPOINT
from training.recipe import RecipeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_NOTE, _LOCK = "order.json", ".lock"
_BEGUN = (CHECKPOINT, "features.done")  # there is something in the folder to go on with


@contextmanager
def alone_in(out: Path, *, locks: bool) -> Iterator[None]:
    """Keep other runs out of a folder for as long as it lasts; the lock goes with the process, however that ends.

    Args:
        out: the run's folder; made if it is not there.
        locks: of several processes of one launch only the first does.

    Raises:
        RecipeError: another run is at work in it.
    """
    if not locks:
        yield
        return
    out.mkdir(parents=True, exist_ok=True)
    with (out / _LOCK).open("w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RecipeError(f"another run is at work in {out}; wait for its end, or give another --out") from error
        yield


def claim(out: Path, orders: Mapping[str, str]) -> None:
    """Note what a folder's runs are of; where one of them is of something else, nothing is noted and it is refused.

    Args:
        out: the run's folder.
        orders: by detector, everything that decides its weights, as text.

    Raises:
        RecipeError: the folder holds another run.
    """
    data = {json.loads(order)["data"] for order in orders.values()}
    for note in sorted(out.glob(f"*/{_NOTE}")):
        if not any((note.parent / begun).exists() for begun in _BEGUN):
            continue
        before, order = note.read_text(encoding="utf-8"), orders.get(note.parent.name)
        # Of a detector that is not asked for now, its data alone: one folder has one manifest.
        if (before != order) if order is not None else _data_of(before) not in data:
            raise RecipeError(
                f"{note.parent} holds a run of {_what_differs(before, order)}; give another --out, or delete it"
            )
    for name, order in orders.items():
        (out / name).mkdir(parents=True, exist_ok=True)
        half = out / name / f"{_NOTE}.tmp"
        half.write_text(order, encoding="utf-8")
        os.replace(half, out / name / _NOTE)  # noqa: PTH105 (one atomic move)


def _data_of(text: str) -> object:
    return _read(text).get("data")


def _what_differs(before: str, order: str | None) -> str:
    other_data = "other data (pictures, labels or how they are split) or of an earlier version"
    if order is None:
        return other_data
    earlier, ordered = _read(before), _read(order)
    same_recipe = all(earlier.get(key) == ordered[key] for key in ("recipe", "detector"))
    if same_recipe and earlier.get("start_from") != ordered.get("start_from"):
        return "another start (from scratch, or from other weights)"
    return other_data if same_recipe else "another recipe or other data, or of an earlier version"


def _read(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
