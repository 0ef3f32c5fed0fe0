import json

import pytest
from fastapi.testclient import TestClient

from api.routes.events import MAX_RECORDS
from tests.support.api_world import World
from worker.errors import TransientError
from worker.ingest.events import ObjectCreated

URL = "/v1/events/s3"


def record(
    bucket: str = "uploads", key: str = "dir%2Fa+b%2B%C3%BC%25.jpg", name: str = "s3:ObjectCreated:Put"
) -> object:
    found = {"key": key, "size": 3, "eTag": "e1", "versionId": ""}
    return {"eventName": name, "eventSource": "minio:s3", "s3": {"bucket": {"name": bucket}, "object": found}}


def test_an_event_is_answered_once_its_images_are_registered(world: World, client: TestClient) -> None:
    response = client.post(URL, json={"Records": [record(), record(bucket="artifacts")]})
    assert (response.status_code, response.json()) == (200, {"registered": 1, "refused": 1, "missing": 0})
    keys = ("dir/a b+ü%.jpg", "dir%2Fa+b%2B%C3%BC%25.jpg")
    assert [ObjectCreated("uploads", keys, None, "e1", 3)] == world.register.seen


@pytest.mark.parametrize(
    "event", [{"Event": "s3:TestEvent"}, {"Records": []}, {"Records": [record(name="s3:ObjectRemoved:Delete")]}]
)
def test_an_event_of_nothing_new_is_204(world: World, client: TestClient, event: object) -> None:
    response = client.post(URL, json=event)
    assert (response.status_code, response.content) == (204, b"")
    assert world.register.seen == []


@pytest.mark.parametrize("event", [{}, [], 1, "x", {"Records": [{"eventName": "s3:ObjectCreated:Put"}]}])
def test_json_that_is_no_event_is_422(client: TestClient, event: object) -> None:
    assert client.post(URL, content=json.dumps(event)).status_code == 422


@pytest.mark.parametrize("body", [b"", b"no json", b"\xff\xfe\x00", b"[" * 100_000])
def test_what_is_no_json_is_400(client: TestClient, body: bytes) -> None:
    assert client.post(URL, content=body).status_code == 400


def test_trouble_of_ours_is_503_so_that_the_store_posts_again(world: World, client: TestClient) -> None:
    world.register.failure = TransientError()
    response = client.post(URL, json={"Records": [record()]})
    assert response.status_code == 503
    assert "Retry-After" in response.headers


def test_a_flood_of_records_is_413_and_none_of_them_is_registered(world: World, client: TestClient) -> None:
    response = client.post(URL, json={"Records": [record(key=f"{number}.jpg") for number in range(MAX_RECORDS + 1)]})
    assert (response.status_code, response.json()["limit_records"]) == (413, MAX_RECORDS)
    assert world.register.seen == []
    few = {"Records": [record(key=f"{number}.jpg") for number in range(MAX_RECORDS)]}
    assert client.post(URL, json=few).json()["registered"] == MAX_RECORDS


def test_a_body_without_bounds_is_413(client: TestClient) -> None:
    assert client.post(URL, content=b" " * (1024 * 1024 + 1)).status_code == 413
