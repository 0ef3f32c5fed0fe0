"""A request that is sent again under its key is answered again and done once."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from api.services import Services
from tests.integration.api.conftest import Rows
from tests.integration.api.keyed_client import PNG, RAW, served
from worker.database.api_keys import ApiKeys, Scope
from worker.database.idempotency import Answer, RequestClaim
from worker.database.session import Database
from worker.database.tables import Image

pytestmark = pytest.mark.integration


@pytest.fixture
def client(services: Services, database: Database) -> Iterator[TestClient]:
    yield from served(services, ApiKeys(database).create("admin", [Scope.ADMIN]).key)


def once(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key}


# --- Done once ----------------------------------------------------------------
def test_a_request_that_is_sent_again_is_answered_again_and_done_once(client: TestClient, rows: Rows) -> None:
    rows.image("cat")
    label = {"label": "ai_generated", "reason": "hands"}
    first, second = (client.post("/v1/images/cat/labels", json=label, headers=once("k1")) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert (first.json(), second.headers["Idempotency-Replayed"]) == (second.json(), "true")
    assert len(client.get("/v1/images/cat/labels").json()["items"]) == 1


def test_a_key_belongs_to_one_request_and_one_api_key(
    client: TestClient, services: Services, database: Database
) -> None:
    run = {"recipe": "wild"}
    assert client.post("/v1/training-runs", json=run, headers=once("k")).status_code == 202
    other = client.post("/v1/training-runs", json={"recipe": "cifake"}, headers=once("k"))
    assert (other.status_code, other.json()["type"]) == (422, "/v1/errors/key-reused")
    for neighbour in served(services, ApiKeys(database).create("another", [Scope.ADMIN]).key):
        theirs = neighbour.post("/v1/training-runs", json=run | {"allow_parallel": True}, headers=once("k"))
        assert (theirs.status_code, "Idempotency-Replayed" in theirs.headers) == (202, False)


def test_an_upload_is_done_once_however_it_is_packed(client: TestClient) -> None:
    raw = client.post("/v1/images", content=PNG, headers=RAW | once("up") | {"Assay-Image-Id": "cat"})
    form = client.post("/v1/images", files={"file": PNG}, data={"image_id": "cat"}, headers=once("up"))
    assert (raw.status_code, form.json()) == (202, raw.json())
    assert form.headers["Location"] == "/v1/images/cat"
    nameless = [client.post("/v1/images", content=PNG, headers=RAW | once("no-name")).json() for _ in range(2)]
    assert nameless[0] == nameless[1]


def test_what_failed_may_be_sent_again_under_the_same_key(client: TestClient, rows: Rows) -> None:
    label = {"label": "ai_generated", "reason": "hands"}
    assert client.post("/v1/images/late/labels", json=label, headers=once("k")).status_code == 404
    rows.image("late")
    assert client.post("/v1/images/late/labels", json=label, headers=once("k")).status_code == 201


def test_requests_at_the_same_moment_are_done_once(client: TestClient, together: Callable[..., list[Any]]) -> None:
    ask = lambda: client.post("/v1/training-runs", json={"recipe": "wild"}, headers=once("race"))  # noqa: E731
    answers = together(*[ask] * 4)
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert {answer.json()["type"] for answer in answers if answer.status_code == 409} <= {"/v1/errors/still-running"}
    assert len(client.get("/v1/training-runs").json()["items"]) == 1


class KilledError(Exception):
    """The process ends here."""


def die(claimed: RequestClaim, _answer: Answer) -> None:
    """End where a killed process would: the connection is gone, and Postgres undoes what was not committed."""
    claimed.release()
    raise KilledError


def test_a_process_that_dies_between_work_and_answer_leaves_a_request_that_is_then_done_once(
    client: TestClient, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows.image("cat")
    label = {"label": "ai_generated", "reason": "hands"}

    with monkeypatch.context() as patched:
        patched.setattr(RequestClaim, "answer", die)
        assert client.post("/v1/images/cat/labels", json=label, headers=once("k")).status_code == 500
    assert client.get("/v1/images/cat/labels").json()["items"] == []

    again = [client.post("/v1/images/cat/labels", json=label, headers=once("k")) for _ in range(2)]

    assert [answer.status_code for answer in again] == [201, 201]
    assert len(client.get("/v1/images/cat/labels").json()["items"]) == 1


def test_an_upload_whose_process_died_before_its_answer_is_one_image_when_it_is_sent_again(
    client: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(RequestClaim, "answer", die)
        assert client.post("/v1/images", content=PNG, headers=RAW | once("up")).status_code == 500
    uploaded = client.post("/v1/images", content=PNG, headers=RAW | once("up"))

    assert uploaded.status_code == 202
    other = client.post("/v1/images", content=PNG + b"other", headers=RAW | once("another"))
    assert other.json()["key"] != uploaded.json()["key"]
    with database.transaction() as session:
        assert len(session.scalars(select(Image).where(Image.key == uploaded.json()["key"])).all()) == 1


@pytest.mark.parametrize("key", ["", "a b", "ü", "x" * 256])
def test_a_key_that_cannot_be_is_refused(client: TestClient, key: str) -> None:
    headers = {"Idempotency-Key": key.encode("utf-8")}
    assert client.post("/v1/training-runs", json={"recipe": "wild"}, headers=headers).status_code == 422  # type: ignore[arg-type]


def test_a_rotation_that_is_sent_again_leaves_the_secret_before_it_good(client: TestClient) -> None:
    hook = {"url": "https://platform.example/", "events": ["scan.dead"]}
    made = client.post("/v1/webhook-endpoints", json=hook).json()
    first, again = (
        client.post(f"/v1/webhook-endpoints/{made['id']}/rotate", headers=once("rotate")).json() for _ in range(2)
    )
    assert first["secret"] == again["secret"] != made["secret"]
