"""What surrounds every request: done once, answered from what is known, paced, traced, and cut off when it is bad."""

import io
import json
import socket
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from api.services import Services
from tests.integration.api.conftest import BUNDLE, Rows
from tests.integration.api.keyed_client import PNG, RAW, served
from tests.support import served as server
from worker.database.api_keys import ApiKeys, Scope
from worker.database.audit import Audit
from worker.database.session import Database

pytestmark = pytest.mark.integration


@pytest.fixture
def client(services: Services, database: Database) -> Iterator[TestClient]:
    yield from served(services, ApiKeys(database).create("admin", [Scope.ADMIN]).key)


# --- Old forms ----------------------------------------------------------------
def test_the_old_form_of_a_rescan_under_a_prefix_is_answered_as_before_and_says_what_replaces_it(
    client: TestClient, rows: Rows
) -> None:
    rows.image("cat", key="a/1.jpg")
    rows.image("dog", key="b/1.jpg")
    client.post(f"/v1/bundles/{BUNDLE}/promote", json={"reason": "first", "force": True})
    of_images = client.post("/v1/scans", json={"image_ids": ["dog"]})
    under = {"under": {"bucket": "uploads", "prefix": "a/"}}
    old, again = (client.post("/v1/scans", json=under, headers={"Idempotency-Key": "k1"}) for _ in range(2))
    assert (old.status_code, old.json()["queued"], old.json()["next_cursor"]) == (202, 1, None)
    replaced = {"Deprecation": "@1795910400", "Link": '</v1/rescans>; rel="successor-version"'}
    assert [{name: answer.headers.get(name) for name in replaced} for answer in (old, again)] == [replaced, replaced]
    assert "Deprecation" not in of_images.headers
    new = client.post("/v1/rescans", json={"filter": {"bucket": "uploads", "prefix": "a/"}, "reason": "again"})
    assert (new.status_code, new.json()["filter"]) == (202, {"bucket": "uploads", "prefix": "a/"})
    refused = client.post("/v1/rescans", json={"filter": {"prefix": "a/"}, "reason": "again"})
    assert (refused.status_code, "prefix goes with bucket" in refused.text) == (422, True)


# --- Answered from what is known ------------------------------------------------
def test_what_still_holds_is_not_sent_again_until_it_changes(client: TestClient, rows: Rows) -> None:
    verdict = rows.verdict(rows.image("cat"))
    for path in ("/v1/images/cat", f"/v1/verdicts/{verdict}"):
        tag = client.get(path).headers["ETag"]
        for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            again = client.get(path, headers={"If-None-Match": known})
            assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
        assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
    tag = client.get("/v1/images/cat").headers["ETag"]
    client.post("/v1/images/cat/labels", json={"label": "ai_generated", "reason": "hands"})
    assert client.get("/v1/images/cat", headers={"If-None-Match": tag}).status_code == 200


# --- In reach -------------------------------------------------------------------
@pytest.mark.parametrize(
    "image_id",
    [
        "a/verdicts",
        "heatmap",
        "/heatmap",
        "frame",
        "a/labels",
        "x/verdicts/verdicts",
        "100%2Fverdicts",
        "../../etc/passwd",
        "'; DROP TABLE image; --",
        "a?b=c#d",
        "%",
        "日本/🙂",
        ".a",
        "a..",
    ],
)
def test_any_id_is_in_reach_when_it_is_percent_encoded(client: TestClient, image_id: str) -> None:
    headers = RAW | {"Assay-Image-Id": quote(image_id, safe="")}
    location = client.post("/v1/images", content=PNG, headers=headers).headers["Location"]
    # A client's own tidying up of dots is not ours.
    path = location.replace("/.", "/%2E") if image_id.startswith(".") else location
    path = path.replace("%2E.", "%2E%2E")
    assert client.get(path).json()["image_id"] == image_id
    assert client.get(f"{path}/verdicts").json() == {"items": [], "next_cursor": None}
    assert client.post(f"{path}/labels", json={"label": "ai_generated", "reason": "x"}).status_code == 201
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404


# --- Traced ---------------------------------------------------------------------
def test_every_change_says_who_made_it_and_by_which_request(client: TestClient, database: Database, rows: Rows) -> None:
    rows.image("cat")
    mark = {"X-Request-Id": "trace-1"}
    client.post("/v1/images", content=PNG, headers=RAW | mark)
    client.post("/v1/images/cat/labels", json={"label": "ai_generated", "reason": "x"}, headers=mark)
    client.post("/v1/policies", json={"false_positive_budget": 0.01, "miss_budget": 0.1}, headers=mark)
    client.post("/v1/retention", json={"image_days": 9}, headers=mark)
    hook = {"url": "https://platform.example/", "events": ["scan.dead"]}
    made = client.post("/v1/webhook-endpoints", json=hook, headers=mark).json()
    client.post(f"/v1/webhook-endpoints/{made['id']}/rotate", headers=mark)
    client.delete(f"/v1/webhook-endpoints/{made['id']}", headers=mark)
    client.delete("/v1/images/cat", headers=mark)
    trail = [entry for entry in client.get("/v1/audit").json()["items"] if entry["request_id"] == "trace-1"]
    assert [entry["action"] for entry in trail] == [
        "image.erase",
        "webhook_endpoint.remove",
        "webhook_endpoint.rotate",
        "webhook_endpoint.add",
        "retention.add",
        "policy.add",
        "label.add",
        "image.upload",
        "api_key.use",  # its first one from there
    ]
    assert {entry["actor"] for entry in trail} == {"admin"}
    assert made["secret"] not in json.dumps(trail)
    assert Audit(database).page(limit=1, action="nobody") == []


def test_no_key_and_no_secret_is_ever_logged(services: Services, database: Database) -> None:
    key = ApiKeys(database).create("admin", [Scope.ADMIN]).key
    with capture_logs() as lines:
        for client in served(services, key):
            hook = {"url": "https://platform.example/?token=hush", "events": ["scan.dead"]}
            secret = client.post("/v1/webhook-endpoints", json=hook).json()["secret"]
            client.get("/v1/webhook-endpoints", headers={"Authorization": f"Bearer {key}x"})
            client.get(f"/v1/images/x?key={key}")
    assert len(lines) >= 3
    assert [word for word in (key, secret, "hush") if word in str(lines)] == []


def test_a_key_may_do_what_its_scope_says_and_no_more(services: Services, database: Database, rows: Rows) -> None:
    rows.image("cat")
    requests = {
        "read": ("GET", "/v1/verdicts", None),
        "ingest": ("POST", "/v1/events/s3", {"Event": "s3:TestEvent"}),
        "review": ("POST", "/v1/images/cat/labels", {"label": "ai_generated", "reason": "x"}),
        "audit": ("GET", "/v1/audit", None),
        "operate": ("POST", "/v1/scans/1/replay", None),
    }
    for scope in Scope:
        for client in served(services, ApiKeys(database).create(scope, [scope]).key):
            allowed = {
                name
                for name, (method, path, body) in requests.items()
                if client.request(method, path, json=body).status_code != 403
            }
            # Who may pass reviewers' names on may review.
            wide = {Scope.ADMIN: set(requests), Scope.OPERATE: set(requests) - {"review"}}
            assert allowed == wide.get(scope, {scope.value.partition(":")[0]})


# --- Cut off ----------------------------------------------------------------------
def test_json_beyond_the_limit_is_refused_before_it_is_read(client: TestClient) -> None:
    body = json.dumps({"image_ids": ["x" * 1000] * 3000})
    answer = client.post("/v1/scans", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["type"]) == (413, "/v1/errors/body-too-large")
    assert answer.headers["Content-Type"] == "application/problem+json"


def chunks(size: int) -> Iterator[bytes]:
    yield from (b" " * 65_536 for _ in range(size // 65_536))


def test_json_that_hides_its_length_is_cut_off(client: TestClient) -> None:
    answer = client.post("/v1/scans", content=chunks(8_000_000), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["type"]) == (413, "/v1/errors/body-too-large")


def test_what_is_no_image_is_refused_however_it_is_wrapped(client: TestClient, services: Services) -> None:
    bomb = zlib.compress(bytes(5_000_000))
    assert len(bomb) < services.max_image_bytes
    assert client.post("/v1/images", files={"file": ("a.png", bomb, "image/png")}).status_code == 415
    assert client.post("/v1/images", content=bomb, headers=RAW | {"Content-Encoding": "deflate"}).status_code == 415
    assert client.post("/v1/images", content=PNG, headers={"Content-Type": "text/html"}).status_code == 415
    nested = b"--b\r\nContent-Disposition: form-data; name=file\r\n" * 200
    broken = client.post("/v1/images", content=nested, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert broken.status_code in {400, 422}
    many = {f"f{number}": (None, "x") for number in range(500)}
    assert client.post("/v1/images", files=many).status_code in {400, 413}


def test_many_uploads_at_once_are_all_taken_or_asked_to_come_again(client: TestClient) -> None:
    def upload(number: int) -> int:
        headers = RAW | {"Assay-Image-Id": f"many/{number}"}
        return client.post("/v1/images", content=PNG.ljust(9000, b"\0"), headers=headers).status_code

    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(upload, range(100)))
    assert set(statuses) <= {202, 429}
    taken = statuses.count(202)
    assert taken > 0
    assert len(client.get("/v1/scans?state=queued&limit=200").json()["items"]) == taken


@pytest.fixture
def listening(services: Services, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr("api.main.IDLE_SECONDS", 0.3)
    with server.served(services) as port:
        yield port


@pytest.mark.parametrize("path", ["/v1/images", "/v1/scans", "/v1/events/s3"])
def test_a_body_that_stops_coming_is_not_waited_for(listening: int, database: Database, path: str) -> None:
    key = ApiKeys(database).create("slow", [Scope.ADMIN]).key
    kind = "image/png" if path == "/v1/images" else "application/json"
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\nContent-Type: {kind}\r\nContent-Length: 5000\r\n\r\n"
    )
    with closing(socket.create_connection(("127.0.0.1", listening), timeout=20)) as connection:
        connection.sendall(head.encode() + b"\x89PNG")  # and nothing more, though 5000 bytes were announced
        answer = io.BytesIO()
        while received := connection.recv(65536):
            answer.write(received)
    assert answer.getvalue().startswith(b"HTTP/1.1 408 ")
    assert b"/v1/errors/body-too-slow" in answer.getvalue()


# --- Away from browsers -----------------------------------------------------------
def test_other_origins_are_let_in_only_where_settings_name_them(services: Services, database: Database) -> None:
    key = ApiKeys(database).create("k", [Scope.READ]).key
    asked = {"Origin": "https://console.example", "Access-Control-Request-Method": "GET"}
    allow = "access-control-allow-origin"
    for client in served(services, key):
        assert allow not in client.options("/v1/stats", headers=asked).headers
        assert allow not in client.get("/v1/stats", headers=asked).headers
    for client in served(replace(services, cors_origins=["https://console.example"]), key):
        assert client.options("/v1/stats", headers=asked).headers[allow] == "https://console.example"
        assert allow not in client.get("/v1/stats", headers={"Origin": "https://evil.example"}).headers
