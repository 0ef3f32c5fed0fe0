"""A stream sends each event once, goes on where it was, and ends with its run."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from api.answers.run_stream import last_seen, stream_text
from worker.database.tables import TrainingEvent, TrainingRun


class Runs:
    """A run that tells one event at each look and ends after the third."""

    def __init__(self) -> None:
        self.looks = 0

    def get(self, run_id: int) -> TrainingRun:
        """Return the run."""
        self.looks += 1
        ended = datetime(2026, 11, 21, tzinfo=UTC) if self.looks == 3 else None
        return TrainingRun(id=run_id, finished_at=ended)

    def events(self, run_id: int, *, after: int = 0, limit: int = 1000) -> Sequence[TrainingEvent]:
        """Return what it told by now."""
        known = [TrainingEvent(id=id_, run_id=run_id, kind="progress", data={"step": id_}) for id_ in (1, 2, 3)]
        return [event for event in known[: self.looks] if event.id > after][:limit]


class Talkative(Runs):
    """A run that has told a great deal and ended."""

    def get(self, run_id: int) -> TrainingRun:
        """Return the run."""
        return TrainingRun(id=run_id, finished_at=datetime(2026, 11, 21, tzinfo=UTC))

    def events(self, run_id: int, *, after: int = 0, limit: int = 1000) -> Sequence[TrainingEvent]:
        """Return what it told."""
        ids = range(after + 1, min(after + limit, 2500) + 1)
        return [TrainingEvent(id=id_, run_id=run_id, kind="progress", data={}) for id_ in ids]


def streamed(after: int, runs: Runs | None = None) -> tuple[list[str], list[float]]:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def collect() -> list[str]:
        return [part async for part in stream_text(runs or Runs(), 7, after, sleep)]

    return asyncio.run(collect()), slept


def test_each_event_is_sent_once_and_the_stream_ends_with_the_run() -> None:
    parts, slept = streamed(after=0)
    sent = [f'id: {id_}\nevent: progress\ndata: {{"step": {id_}}}\n\n' for id_ in (1, 2, 3)]
    assert parts == [*sent, "event: end\ndata: {}\n\n"]
    assert slept == [1.0, 1.0]


def test_it_goes_on_after_the_last_event_that_was_seen() -> None:
    parts, _ = streamed(after=2)
    assert parts == [": waiting\n\n"] * 2 + [
        'id: 3\nevent: progress\ndata: {"step": 3}\n\n',
        "event: end\ndata: {}\n\n",
    ]


@pytest.mark.parametrize(("header", "after"), [("9", 9), (None, 4), ("", 4), ("-1", 4), ("9" * 30, 4), ("9" * 5000, 4)])
def test_an_id_that_cannot_be_is_as_good_as_none(header: str | None, after: int) -> None:
    assert last_seen(header, 4) == after


def test_all_of_a_long_story_is_sent_before_the_end() -> None:
    parts, _ = streamed(0, Talkative())
    assert len(parts) == 2501
    assert parts[-2].startswith("id: 2500")
    assert parts[-1] == "event: end\ndata: {}\n\n"
