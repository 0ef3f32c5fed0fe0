"""Waiting for a verdict: no longer than asked for, no more than so many at once, and not for somebody who has gone."""

import asyncio

import pytest
from fastapi.testclient import TestClient

from api.answers.waiting import Waiting
from api.main import create_app
from tests.support.api_world import World, image_row, scan_row, verdict_row
from worker.database.served import ServedImage
from worker.database.tables import ScanState


class Pauses:
    """Pauses that take no time, and what happens in them."""

    def __init__(self, world: World | None = None, after: int = 99) -> None:
        self.seconds: list[float] = []
        self._world = world
        self._after = after

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        if self._world and len(self.seconds) == self._after:
            self._world.queries.images["cat"] = ServedImage(image_row(), verdict_row(), scan_row(), [])


def client_of(world: World, pauses: Pauses) -> TestClient:
    app = create_app(world.having(waiting=Waiting(pause=pauses)).services)
    return TestClient(app, headers={"Authorization": "Bearer assay_read"})


@pytest.fixture
def pending(world: World) -> World:
    world.queries.images["cat"] = ServedImage(image_row(), None, scan_row(state=ScanState.QUEUED), [])
    return world


def test_an_answer_comes_as_soon_as_the_verdict_is_there(pending: World) -> None:
    pauses = Pauses(pending, after=3)
    answer = client_of(pending, pauses).get("/v1/images/cat?wait=20")
    assert (answer.json()["verdict"]["verdict"], len(pauses.seconds)) == ("ai_generated", 3)


def test_it_comes_without_a_verdict_once_the_time_is_over(pending: World) -> None:
    pauses = Pauses()
    answer = client_of(pending, pauses).get("/v1/images/cat?wait=2")
    assert (answer.json()["verdict"], sum(pauses.seconds)) == (None, 2.0)


def test_nobody_waits_for_what_will_not_come(world: World) -> None:
    world.queries.images["dead"] = ServedImage(image_row(), None, scan_row(state=ScanState.DEAD), [])
    pauses = Pauses()
    client = client_of(world, pauses)
    assert (client.get("/v1/images/dead?wait=20").status_code, client.get("/v1/images/no?wait=20").status_code) == (
        200,
        404,
    )
    assert pauses.seconds == []


@pytest.mark.parametrize("wait", ["31", "-1", "long"])
def test_longer_waits_are_refused(world: World, wait: str) -> None:
    assert client_of(world, Pauses()).get(f"/v1/images/cat?wait={wait}").status_code == 422


def test_one_too_many_is_answered_as_things_stand() -> None:
    async def run() -> list[str]:
        waits, over = asyncio.Event(), asyncio.Event()

        async def pause(_seconds: float) -> None:
            waits.set()
            await over.wait()

        async def stays() -> bool:
            return False

        async def look() -> str:
            return "nothing yet"

        waiting = Waiting(most=1, pause=pause)
        first = asyncio.create_task(waiting.until(look, lambda _: False, seconds=0.5, has_gone=stays))
        await waits.wait()
        # It would wait for ever, were there room.
        answer = await waiting.until(look, lambda _: False, seconds=0.5, has_gone=stays)
        over.set()
        return [answer, await first]

    assert asyncio.run(run()) == ["nothing yet", "nothing yet"]


def test_nobody_looks_for_somebody_who_has_gone() -> None:
    async def gone() -> bool:
        return True

    async def look() -> str:
        return "nothing yet"

    pauses = Pauses()
    answer = asyncio.run(Waiting(pause=pauses).until(look, lambda _: False, seconds=5, has_gone=gone))
    assert (answer, pauses.seconds) == ("nothing yet", [])
