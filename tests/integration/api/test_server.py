"""The API as it is served: uvicorn, Postgres, the object store, and ingest between them."""

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen
from uuid import uuid4

import pytest
import uvicorn

from api.key_ring import KeyRing
from api.main import create_app, readiness_of
from api.services import Services
from worker.database.api_keys import ApiKeys, Scope
from worker.database.served import Queries
from worker.database.session import Database, connect

pytestmark = pytest.mark.integration

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 100
NOWHERE = "postgresql+psycopg://assay@127.0.0.1:9/assay"

Ask = Callable[..., tuple[int, dict[str, str], Any]]


@pytest.fixture
def ask(services: Services, database: Database) -> Iterator[Ask]:
    """Serve on a free port and ask with a key that may do everything."""
    key = ApiKeys(database).create("tests", [Scope.ADMIN]).key
    yield from serve(services, {"Authorization": f"Bearer {key}"})


def serve(services: Services, headers: dict[str, str]) -> Iterator[Ask]:
    server = uvicorn.Server(uvicorn.Config(create_app(services), log_config=None, access_log=False))
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()

        def ask(method: str, path: str, body: Any = None, **more: str) -> tuple[int, dict[str, str], Any]:
            with closing(http.client.HTTPConnection("127.0.0.1", listening.getsockname()[1], timeout=30)) as connection:
                connection.request(method, path, body, {**headers, **more})
                response = connection.getresponse()
                content = response.read()
                return response.status, dict(response.getheaders()), json.loads(content) if content else None

        yield ask
        server.should_exit = True
        thread.join()


def test_an_upload_comes_back_under_its_location_whatever_its_id(ask: Ask) -> None:
    for image_id in ("dir/a b+ü%.jpg", "100%2F", "/leading", "trailing/", "a//b", "?a=b&c#d", "日本/🙂", "plain"):
        unique = f"{uuid4().hex}{image_id}"
        more = {"Content-Type": "image/png", "Assay-Image-Id": quote(unique, safe="")}
        status, headers, accepted = ask("POST", "/v1/images", PNG, **more)
        assert (202, unique) == (status, accepted["image_id"])
        status, _, image = ask("GET", headers["location"])
        assert (200, unique, "queued", None) == (status, image["image_id"], image["scan"]["state"], image["verdict"])
        assert (accepted["scan"]["id"], accepted["key"]) == (image["scan"]["id"], image["key"])
        status, _, history = ask("GET", f"{headers['location']}/verdicts")
        assert (status, history["items"]) == (200, [])


def test_an_id_with_its_slashes_left_as_they_are_is_understood(ask: Ask, fresh_id: Callable[[], str]) -> None:
    image_id = fresh_id()
    ask("POST", "/v1/images", PNG, **{"Content-Type": "image/png", "Assay-Image-Id": quote(image_id)})
    assert image_id == ask("GET", f"/v1/images/{quote(image_id, safe='/')}")[2]["image_id"]


def test_what_the_store_holds_is_what_was_uploaded_and_its_own_event_changes_nothing(
    ask: Ask, object_store: Any
) -> None:
    more = {"Content-Type": "image/jpeg", "Assay-Image-Id": quote("ü/1")}
    accepted = ask("POST", "/v1/images", PNG, **more)[2]
    found = object_store.s3.get_object(Bucket=accepted["bucket"], Key=accepted["key"])
    assert (PNG, "image/png", accepted["version"]) == (found["Body"].read(), found["ContentType"], found["VersionId"])
    taken = post_event(ask, accepted["bucket"], accepted["key"], versionId=found["VersionId"], eTag=found["ETag"])
    assert taken == (200, {"registered": 1, "refused": 0, "missing": 0})
    assert accepted["scan"]["id"] == ask("GET", "/v1/images/%C3%BC%2F1")[2]["scan"]["id"]


def test_an_object_that_a_platform_uploads_by_itself_comes_by_event(ask: Ask, object_store: Any) -> None:
    key = "dir/a b+ü%.jpg"
    etag = object_store.put(object_store.plain, key, PNG)["ETag"].strip('"')
    assert [post_event(ask, object_store.plain, key, eTag=etag)[0] for _ in range(2)] == [200, 200]
    status, _, image = ask("GET", f"/v1/images/{quote(key, safe='')}")
    assert (200, key, etag) == (status, image["key"], image["version"])
    refused = post_event(ask, object_store.artifacts, key, eTag=etag)
    assert refused == (200, {"registered": 0, "refused": 1, "missing": 0})
    assert ask("POST", "/v1/events/s3", '{"Event": "s3:TestEvent"}')[0] == 204


def post_event(ask: Ask, bucket: str, key: str, **found: str) -> tuple[int, Any]:
    """Post an event as MinIO does."""
    s3 = {"bucket": {"name": bucket}, "object": {"key": quote(key, safe=""), **found}}
    records = [{"eventName": "s3:ObjectCreated:Put", "eventSource": "minio:s3", "s3": s3}]
    status, _, answer = ask("POST", "/v1/events/s3", json.dumps({"Records": records}))
    return status, answer


def test_a_heatmap_is_read_without_a_key_from_where_the_redirect_leads(
    ask: Ask, rows: Any, object_store: Any, fresh_id: Callable[[], str]
) -> None:
    image_id = fresh_id()
    rows.heatmap(rows.verdict(rows.image(image_id)), "clip", key="heatmaps/ü 1.png")
    object_store.put(object_store.artifacts, "heatmaps/ü 1.png", PNG)
    status, headers, _ = ask("GET", f"/v1/images/{quote(image_id, safe='')}/heatmap?detector=clip")
    with urlopen(headers["location"], timeout=30) as found:  # noqa: S310 - the store's own address.
        assert (status, found.read()) == (307, PNG)
    assert ask("GET", f"/v1/images/{quote(image_id, safe='')}/heatmap?detector=convnext")[0] == 404


def test_what_postgres_cannot_hold_is_no_error_of_ours(ask: Ask) -> None:
    statuses = {path: ask("GET", path)[0] for path in ("/v1/images/%00", "/v1/images/%ED%A0%80", "/v1/images/%FF")}
    assert statuses == {"/v1/images/%00": 422, "/v1/images/%ED%A0%80": 404, "/v1/images/%FF": 404}


def test_a_body_longer_than_it_may_be_is_cut_short(ask: Ask, services: Services) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(10_000):
            sent += 1000
            yield PNG.ljust(1000, b"\x00")

    try:
        status, _, _ = ask("POST", "/v1/images", endless(), **{"Content-Type": "image/png"})
        assert status == 413
    except ConnectionError:
        pass  # The server hung up while the client was still sending; also an answer.
    assert sent > services.max_image_bytes


def test_ready_means_database_migrations_and_buckets(ask: Ask) -> None:
    status, _, report = ask("GET", "/health/ready")
    assert (200, {"database", "migrations", "object_store"}) == (status, report["parts"].keys())


def test_without_postgres_all_is_503_and_ready_says_what_is_missing(services: Services, object_store: Any) -> None:
    down, objects = connect(NOWHERE), object_store.objects
    broken = replace(
        services,
        queries=Queries(down),
        keys=KeyRing(ApiKeys(down)),
        readiness=readiness_of(down, objects, (object_store.uploads, "missing")),
    )
    for ask in serve(broken, {"X-API-Key": "assay_any"}):
        status, headers, problem = ask("GET", "/v1/images/cat")
        assert (status, headers["retry-after"]) == (503, "5")
        assert "127.0.0.1" not in problem["detail"]
        status, _, problem = ask("GET", "/health/ready")
        assert (status, [part["ok"] for part in problem["parts"].values()]) == (503, [False] * 3)
        assert ask("GET", "/health/live")[0] == 200
    down.engine.dispose()
