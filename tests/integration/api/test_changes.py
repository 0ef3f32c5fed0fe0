"""`/v1/changes` over a real Postgres: read on from a cursor, held back while nothing happens."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from api.answers.waiting import Waiting
from api.client import Assay, Problem
from api.main import create_app
from api.services import Services
from tests.integration.api.conftest import Rows
from worker.database.api_keys import ApiKeys, Scope
from worker.database.changes import Changes
from worker.database.session import Database
from worker.duties.changes import NumberChanges

pytestmark = pytest.mark.integration


@pytest.fixture
def key(database: Database) -> str:
    return ApiKeys(database).create("somebody", [Scope.READ]).key


@pytest.fixture
def client(services: Services, key: str) -> Iterator[TestClient]:
    with TestClient(create_app(services), headers={"Authorization": f"Bearer {key}"}) as client:
        yield client


def happen(database: Database, rows: Rows, *names: str) -> None:
    for name in names:
        rows.verdict(rows.image(name))
    NumberChanges(Changes(database))()


def test_a_platform_reads_on_from_cursor_to_cursor(client: TestClient, database: Database, rows: Rows) -> None:
    start = client.get("/v1/changes?start=newest").json()
    assert (start["items"], start["more"]) == ([], False)
    happen(database, rows, "cat", "dog", "cow")
    first = client.get("/v1/changes", params={"cursor": start["next_cursor"], "limit": 2}).json()
    rest = client.get("/v1/changes", params={"cursor": first["next_cursor"]}).json()
    assert (first["more"], rest["more"]) == (True, False)
    fed = [*first["items"], *rest["items"]]
    assert [(one["number"], one["type"], one["data"]["image_id"]) for one in fed] == [
        (1, "verdict.created", "cat"),
        (2, "verdict.created", "dog"),
        (3, "verdict.created", "cow"),
    ]
    again = client.get("/v1/changes", params={"cursor": rest["next_cursor"]}).json()
    assert (again["items"], again["next_cursor"]) == ([], rest["next_cursor"])
    kinds = client.get("/v1/changes", params={"event": ["scan.dead", "scan.rejected"]}).json()
    assert (kinds["items"], kinds["next_cursor"]) == ([], rest["next_cursor"])


def test_an_answer_is_held_back_until_something_happens(
    services: Services, database: Database, rows: Rows, key: str
) -> None:
    pauses = list[float]()

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            await asyncio.to_thread(happen, database, rows, "cat")

    app = create_app(replace(services, waiting=Waiting(pause=pause)))
    with TestClient(app, headers={"Authorization": f"Bearer {key}"}) as client:
        answer = client.get("/v1/changes?start=newest&wait=20").json()
        assert ([one["data"]["image_id"] for one in answer["items"]], len(pauses)) == (["cat"], 3)
        nothing = client.get("/v1/changes", params={"cursor": answer["next_cursor"], "wait": 2}).json()
        assert (nothing["items"], nothing["next_cursor"]) == ([], answer["next_cursor"])


@pytest.mark.parametrize(
    "query", ["wait=31", "wait=-1", "cursor=nonsense", "start=middle", "event=none", "limit=0", "x=1"]
)
def test_what_cannot_be_asked_is_refused(client: TestClient, query: str) -> None:
    assert client.get(f"/v1/changes?{query}").status_code == 422


def test_a_cursor_that_is_too_old_is_gone_and_says_what_to_do(
    client: TestClient, database: Database, rows: Rows
) -> None:
    start = client.get("/v1/changes").json()["next_cursor"]
    happen(database, rows, "cat", "dog")
    with database.transaction() as session:
        session.execute(text("UPDATE change SET created_at = now() - interval '31 days'"))
    Changes(database).drop(30, most=9)
    gone = client.get("/v1/changes", params={"cursor": start, "wait": 20})
    assert (gone.status_code, gone.json()["type"]) == (410, "/v1/errors/cursor-expired")
    assert "start=newest" in gone.json()["detail"]
    assert client.get(gone.json()["type"]).status_code == 200
    assert client.get("/v1/changes?start=newest").status_code == 200


def test_a_key_without_the_scope_is_refused(services: Services, database: Database) -> None:
    key = ApiKeys(database).create("somebody", [Scope.INGEST]).key
    with TestClient(create_app(services), headers={"Authorization": f"Bearer {key}"}) as client:
        assert client.get("/v1/changes").status_code == 403


def test_the_client_follows(client: TestClient, database: Database, rows: Rows) -> None:
    happen(database, rows, "cat", "dog")
    assay = Assay("http://testserver", "unused")
    assay._http = client  # type: ignore[assignment]
    read = assay.changes(events=["verdict.created"])
    assert [one["data"]["image_id"] for one in read["items"]] == ["cat", "dog"]
    with pytest.raises(Problem) as raised:
        assay.changes("nonsense")
    assert raised.value.status == 422
