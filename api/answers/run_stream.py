"""Streams what a training run tells, as server-sent events.

A stream ends with its run, or after some minutes; a browser's EventSource comes back by itself and goes on after the
last event it has seen.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol

from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from worker.database.tables import TrainingEvent, TrainingRun

_LOOK_EVERY_SECONDS = 1.0
_LOOKS = 300
_AT_ONCE = 1000
_ID_DIGITS = 18  # more might be no bigint
# Proxies close what is silent; a comment is no event.
_SIGN_OF_LIFE = ": waiting\n\n"


class TellsOfRuns(Protocol):
    """What a stream needs of :class:`~worker.database.training_runs.TrainingRuns`."""

    def get(self, run_id: int) -> TrainingRun | None:
        """Return one run."""

    def events(self, run_id: int, *, after: int = 0, limit: int = 1000) -> Sequence[TrainingEvent]:
        """Return the run's events after one id, oldest first."""


def last_seen(header: str | None, after: int) -> int:
    """Return the id of the event to go on after: what `Last-Event-ID` names, ``after`` where that is no id of ours."""
    named = header or ""
    return int(named) if named.isdecimal() and len(named) <= _ID_DIGITS else after


def event_stream(runs: TellsOfRuns, run_id: int, after: int) -> StreamingResponse:
    """Return a response that sends the run's events beyond ``after`` as they come."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(
        stream_text(runs, run_id, after, asyncio.sleep), media_type="text/event-stream", headers=headers
    )


async def stream_text(
    runs: TellsOfRuns, run_id: int, after: int, sleep: Callable[[float], Awaitable[object]]
) -> AsyncIterator[str]:
    """Yield the events as text, ids included; looks for new ones between calls of ``sleep``."""
    for look in range(_LOOKS):
        if look:
            await sleep(_LOOK_EVERY_SECONDS)
        # Asked first: what it told before it ended is then among the events.
        run = await run_in_threadpool(runs.get, run_id)
        events = await run_in_threadpool(lambda: runs.events(run_id, after=after, limit=_AT_ONCE))  # noqa: B023 - awaited at once.
        for event in events:
            yield f"id: {event.id}\nevent: {event.kind}\ndata: {json.dumps(event.data)}\n\n"
            after = event.id
        if (run is None or run.finished_at is not None) and len(events) < _AT_ONCE:
            yield "event: end\ndata: {}\n\n"
            return
        if not events:
            yield _SIGN_OF_LIFE
