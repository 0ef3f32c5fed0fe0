"""Whose turn it is on what live images and history share: live ones first, and history in small portions.

History waits for live images, but not for ever: it stands in the same line, as if it had come so much later.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

# Less than a scan may stay in one stage, or its lease would end.
BULK_WAITS_SECONDS = 30.0
# A live image that comes while history is judged waits for no longer than that.
BULK_BATCH_SECONDS = 0.2


class InLine(Protocol):
    """Something that waits for its turn on the device."""

    @property
    def call(self) -> Hashable:
        """What is to be run; only the same calls share a batch."""

    @property
    def since(self) -> float:
        """When it came, in seconds."""

    @property
    def alone(self) -> bool:
        """Whether it wants no company."""

    @property
    def bulk(self) -> bool:
        """Whether it belongs to a rescan or a shadow scan, which wait for live images."""


@dataclass(frozen=True)
class Batch:
    """A batch as it would be now.

    Attributes:
        members: their places in the line.
        is_full: nobody who comes later would still be taken.
    """

    members: Sequence[int]
    is_full: bool


def turn(since: float, *, bulk: bool) -> float:
    """Return the time by which those that wait are ordered, the smallest first."""
    return since + BULK_WAITS_SECONDS if bulk else since


def choose_batch(line: Sequence[InLine], *, max_batch: int, seconds_of: Callable[[Hashable], float | None]) -> Batch:
    """Return whose turn it is, together with those that want the same.

    Live ones fill a batch as far as it goes. History takes the places that are left, as long as the whole batch does
    not outlast :data:`BULK_BATCH_SECONDS`; a call of unknown cost takes one of history at first.

    Args:
        line: those that wait, at least one.
        max_batch: most in one batch.
        seconds_of: tells what one costs, by its call; None where nobody knows yet.
    """
    order = sorted(range(len(line)), key=lambda place: turn(line[place].since, bulk=line[place].bulk))
    first = line[order[0]]
    if first.alone:
        return Batch([order[0]], is_full=True)
    company = [place for place in order if line[place].call == first.call and not line[place].alone]
    # History whose turn has come gets a place even beside many live ones.
    live = _some(line, company, bulk=False, most=max_batch - first.bulk)
    places = _places_for_history(seconds_of(first.call), max_batch) - len(live)
    history = _some(line, company, bulk=True, most=max(places, int(first.bulk)))
    is_full = len(live) + len(history) >= max_batch or (not live and len(history) >= places)
    return Batch([*live, *history], is_full)


def _some(line: Sequence[InLine], places: Sequence[int], *, bulk: bool, most: int) -> list[int]:
    return [place for place in places if line[place].bulk is bulk][:most]


def _places_for_history(seconds: float | None, max_batch: int) -> int:
    """Return the most in a batch that holds history."""
    if seconds is None:
        return 1
    return max_batch if seconds * max_batch <= BULK_BATCH_SECONDS else max(1, int(BULK_BATCH_SECONDS / seconds))
