"""`/v1/images:batch`: each item answers by itself; callbacks go to registered hosts, once, signed by their endpoint."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, text
from standardwebhooks import Webhook

from api.main import create_app
from api.services import Services
from tests.conftest import Buckets
from tests.integration.api.conftest import Rows
from tests.integration.worker.webhooks.conftest import receivers
from tests.integration.worker.webhooks.receivers import ME, Receiver, let_time_pass, sender
from worker.database.api_keys import ApiKeys, Scope
from worker.database.fetches import Fetches
from worker.database.session import Database
from worker.database.tables import Callback, ScanState, WebhookDelivery
from worker.database.webhook_endpoints import Event, WebhookEndpoints
from worker.decisions.vocabulary import VerdictValue

pytestmark = pytest.mark.integration
__all__ = ["receivers"]

URL = "https://media.platform.example/p/1.jpg"
Client = Callable[..., TestClient]


@pytest.fixture
def client(services: Services, database: Database) -> Iterator[Client]:
    """Gives a client with a new key of these scopes."""
    app = create_app(replace(services, webhook_private_addresses=True))
    clients = list[TestClient]()

    def made(*scopes: Scope) -> TestClient:
        key = ApiKeys(database).create("somebody", scopes).key
        clients.append(TestClient(app, headers={"Authorization": f"Bearer {key}"}))
        return clients[-1]

    yield made
    for one in clients:
        one.close()


def post(client: TestClient, *items: dict[str, Any], **more: Any) -> Any:
    return client.post("/v1/images:batch", json={"items": items, **more})


def test_each_item_answers_by_itself_in_its_place(
    client: Client, rows: Rows, object_store: Buckets, database: Database
) -> None:
    object_store.put(object_store.uploads, "posts/cat.jpg", metadata={"image-id": "cat"})
    rows.image("dog")
    platform = client(Scope.INGEST)
    items: tuple[dict[str, Any], ...] = (
        {"key": "posts/cat.jpg"},
        {"image_id": "dog"},
        {"url": URL, "image_id": "cow", "source": "posts"},
        {"key": "posts/none.jpg"},
        {"image_id": "nobody"},
        {"url": "http://media.platform.example/1.jpg"},
        {"url": "https://169.254.169.254/latest/meta-data"},
        {"key": "a.jpg", "bucket": object_store.artifacts},
        {"key": "a.jpg", "url": URL},
        {},
        {"url": URL, "image_id": "x" * 600},
        {"key": "folder/"},
    )
    answer = post(platform, *items)
    assert answer.status_code == 202, answer.text
    found = [(one["state"], one["image_id"], one["reason"]) for one in answer.json()["items"]]
    assert found == [
        ("accepted", "cat", None),
        ("exists", "dog", None),
        ("accepted", "cow", None),
        ("invalid", None, "no_such_object"),
        ("invalid", "nobody", "unknown_image"),
        ("invalid", None, "invalid_url"),
        ("invalid", None, "invalid_url"),
        ("invalid", None, "not_taken"),
        ("invalid", None, "ambiguous"),
        ("invalid", None, "ambiguous"),
        ("invalid", "x" * 600, "invalid_id"),
        ("invalid", None, "no_such_object"),
    ]
    assert {name: answer.json()[name] for name in ("accepted", "existing", "invalid")} == {
        "accepted": 2,
        "existing": 1,
        "invalid": 9,
    }
    assert [one["detail"] for one in answer.json()["items"] if one["state"] == "invalid" and not one["detail"]] == []
    again = post(platform, *items[:3]).json()["items"]
    assert [one["state"] for one in again] == ["exists"] * 3
    fetch = Fetches(database).get(answer.json()["items"][2]["fetch_id"])
    assert fetch is not None
    assert (fetch.url, fetch.image_id, fetch.source, fetch.state) == (URL, "cow", "posts", "queued")


def test_an_image_on_its_way_is_told_from_an_unknown_one(client: Client, database: Database) -> None:
    platform = client(Scope.INGEST, Scope.READ)
    (taken,) = post(platform, {"url": URL, "image_id": "cow"}).json()["items"]
    coming = platform.get("/v1/images/cow")
    assert (coming.status_code, coming.json()["fetch"]["state"]) == (404, "queued")
    listed = platform.get("/v1/fetches?state=queued").json()["items"]
    assert [one["id"] for one in listed] == [taken["fetch_id"]]
    with database.transaction() as session:
        session.execute(
            text("UPDATE url_fetch SET state = 'failed', due_at = NULL, reason = 'gone', finished_at = now()")
        )
    gone = platform.get("/v1/images/cow?wait=20")
    assert (gone.status_code, gone.json()["fetch"]["reason"]) == (404, "gone")
    assert platform.post(f"/v1/fetches/{taken['fetch_id']}/replay").json()["state"] == "queued"
    assert platform.post(f"/v1/fetches/{taken['fetch_id']}/replay").status_code == 409
    assert platform.get("/v1/fetches/99").status_code == 404
    assert platform.get("/v1/images/nobody").json().get("fetch") is None


def test_a_request_that_is_sent_again_is_answered_again(client: Client, database: Database) -> None:
    platform = client(Scope.INGEST)
    body, headers = {"items": [{"url": URL}, {"url": URL + "2"}]}, {"Idempotency-Key": "batch-1"}
    first = platform.post("/v1/images:batch", json=body, headers=headers)
    again = platform.post("/v1/images:batch", json=body, headers=headers)
    assert (first.status_code, again.json(), again.headers["idempotency-replayed"]) == (202, first.json(), "true")
    with database.transaction() as session:
        assert session.scalar(text("SELECT count(*) FROM url_fetch")) == 2
    other = platform.post("/v1/images:batch", json={"items": [{"url": URL}]}, headers=headers)
    assert (other.status_code, other.json()["type"]) == (422, "/v1/errors/key-reused")


def test_who_may_bring_and_who_may_hurry(client: Client) -> None:
    assert post(client(Scope.READ), {"url": URL}).status_code == 403
    refused = post(client(Scope.INGEST), {"url": URL}, priority="high")
    assert (refused.status_code, refused.json()["missing_scope"]) == (403, "ingest:priority")
    assert post(client(Scope.INGEST), {"url": URL}, priority="low").status_code == 202
    assert post(client(Scope.PRIORITY), {"url": URL}, priority="high").status_code == 202


@pytest.mark.parametrize(
    "body",
    [
        {"items": []},
        {"items": [{"url": URL}] * 501},
        {"items": [{"urls": URL}]},
        {"items": [{"url": 7}]},
        {"items": [{"url": URL}], "priority": "highest"},
        {"items": [{"url": URL}], "callback_url": "https://nobody.example/"},
        {"items": [{"url": URL}], "callback_url": "ftp://nobody.example/"},
        {"items": [{"url": URL}], "callback_url": ""},
    ],
)
def test_what_cannot_be_a_batch_is_refused_whole(client: Client, body: Any) -> None:
    assert client(Scope.ADMIN).post("/v1/images:batch", json=body).status_code == 422


def test_a_callback_is_told_once_of_each_end_signed_by_its_endpoint(
    client: Client, rows: Rows, database: Database, receivers: Callable[[], Receiver]
) -> None:
    receiver = receivers()
    made = WebhookEndpoints(database).add(ME, receiver.url, [Event.BUNDLE_PROMOTED])
    images = {name: rows.image(name) for name in ("cat", "dog", "cow")}
    rows.verdict(images["cat"], verdict=VerdictValue.AI_GENERATED)  # it has ended before
    scans = {name: rows.scan(images[name], ScanState.QUEUED) for name in ("dog", "cow")}
    callback = receiver.url.replace("/hook", "/mine")
    taken = post(client(Scope.INGEST), *({"image_id": name} for name in images), callback_url=callback)
    assert taken.status_code == 202, taken.text
    rows.verdict(images["dog"])
    with database.transaction() as session:
        session.execute(
            text("UPDATE scan SET state = 'rejected', reason = 'gone' WHERE id = :id"), {"id": scans["cow"]}
        )
    rows.policy()
    rows.verdict(images["dog"], policy_version=2)  # a second verdict is told to nobody
    assert sender(database)() == 3
    messages = [Webhook(made.secret).verify(body, headers) for headers, body in receiver.got]
    assert sorted((one["data"]["image_id"], one["type"]) for one in messages) == [
        ("cat", "verdict.created"),
        ("cow", "scan.rejected"),
        ("dog", "verdict.created"),
    ]
    let_time_pass(database)
    assert sender(database)() == 0
    with database.transaction() as session:
        assert session.scalars(select(Callback.url)).all() == []
        assert set(session.scalars(select(WebhookDelivery.url))) == {callback}


def test_a_callback_goes_with_its_endpoint_and_a_disabled_one_gives_none(
    client: Client, rows: Rows, database: Database
) -> None:
    endpoints = WebhookEndpoints(database)
    made = endpoints.add(ME, "https://platform.example/hook", [Event.SCAN_DEAD])
    rows.scan(rows.image("cat"), ScanState.QUEUED)
    there = {"callback_url": "https://platform.example/else?where=1"}
    platform = client(Scope.INGEST)
    assert post(platform, {"image_id": "cat"}, {"url": URL}, **there).status_code == 202
    assert post(platform, {"image_id": "cat"}, callback_url="https://platform.example:8443/").status_code == 422
    endpoints.change(ME, made.endpoint.id, enabled=False)
    assert post(platform, {"image_id": "cat"}, **there).status_code == 422
    assert endpoints.remove(ME, made.endpoint.id)
    with database.transaction() as session:
        assert session.scalars(select(Callback.url)).all() == []
        assert session.scalar(text("SELECT endpoint_id FROM url_fetch")) is None
