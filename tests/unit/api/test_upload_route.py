import asyncio
import re
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from starlette.types import Message
from structlog.testing import capture_logs

from api.main import create_app
from api.requests.bodies import MemoryBudget
from tests.support.api_world import World, image_row, scan_row
from worker.database.tables import ScanState
from worker.errors import TransientError
from worker.ingest.events import ObjectCreated
from worker.objects.trouble import RefusedError

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 100
KEY = re.compile(r"api/2026-11-21/[0-9a-f]{32}\.png")
RAW = {"Content-Type": "image/png"}


def test_a_form_is_stored_registered_and_accepted(world: World, client: TestClient) -> None:
    response = client.post(
        "/v1/images", files={"file": ("cat.png", PNG)}, data={"image_id": "a/b ü", "source": "forum"}
    )
    ((bucket, key), stored) = next(iter(world.objects.stored.items()))
    assert response.status_code == 202
    assert {
        "image_id": "a/b ü",
        "bucket": "uploads",
        "key": key,
        "version": "etag-of-it",
        "scan": {"id": 8, "state": "queued"},
    } == response.json()
    assert response.headers["Location"] == "/v1/images/a%2Fb%20%C3%BC"
    assert KEY.fullmatch(key)
    assert (bucket, stored.body, stored.content_type) == ("uploads", PNG, "image/png")
    assert stored.metadata == {"image-id": "a/b ü", "source": "forum"}
    assert [ObjectCreated("uploads", (key,), None, "etag-of-it", len(PNG))] == world.register.seen


@pytest.mark.parametrize("image_id", ["cat-17", "dir/a b+ü%.jpg", "日本"])
def test_a_raw_body_brings_its_id_in_a_header(world: World, client: TestClient, image_id: str) -> None:
    headers = {**RAW, "Assay-Image-Id": quote(image_id, safe=""), "Assay-Source": "forum"}
    response = client.post("/v1/images", content=PNG, headers=headers)
    assert (202, image_id) == (response.status_code, response.json()["image_id"])
    (stored,) = world.objects.stored.values()
    assert {"image-id": image_id, "source": "forum"} == stored.metadata


def test_without_an_id_one_is_made(world: World, client: TestClient) -> None:
    first, second = (client.post("/v1/images", content=PNG, headers=RAW).json()["image_id"] for _ in range(2))
    assert re.fullmatch("[0-9a-f]{32}", first)
    assert first != second
    assert all("source" not in stored.metadata for stored in world.objects.stored.values())


def test_where_the_stores_event_was_faster_the_scans_own_state_is_told(world: World, client: TestClient) -> None:
    world.register.created = False
    world.queries.known_scans[8] = (scan_row(state=ScanState.LEASED), image_row())
    with capture_logs() as lines:
        assert client.post("/v1/images", content=PNG, headers=RAW).json()["scan"]["state"] == "leased"
    assert [line["scan_id"] for line in lines if line["event"] == "image_known"] == [8]  # a request leads to its scan


@pytest.mark.parametrize("content_type", ["text/plain", "application/json", "", "application/octet-stream"])
def test_a_body_that_claims_to_be_no_image_is_415(client: TestClient, content_type: str) -> None:
    assert client.post("/v1/images", content=PNG, headers={"Content-Type": content_type}).status_code == 415


def test_an_empty_file_is_told_to_be_empty(world: World, client: TestClient) -> None:
    for answer in (
        client.post("/v1/images", content=b"", headers=RAW),
        client.post("/v1/images", files={"file": ("a.jpg", b"")}),
    ):
        assert answer.status_code == 415
        assert answer.json()["detail"] == "Nothing was stored: the file is empty."
    assert world.objects.stored == {}


def test_bytes_that_are_no_image_are_415_and_not_stored(world: World, client: TestClient) -> None:
    for response in (
        client.post("/v1/images", content=b"%PDF-1.7", headers=RAW),
        client.post("/v1/images", files={"file": b"<svg>"}),
    ):
        assert response.status_code == 415
        assert "jpeg, png, gif, tiff, vnd.microsoft.icon, webp, bmp, avif, heic." in response.json()["detail"]
    assert world.objects.stored == {}


@pytest.mark.parametrize("image_id", ["a\nb", "x" * 513, "a\x00"])
def test_an_id_that_cannot_be_is_422(world: World, client: TestClient, image_id: str) -> None:
    in_header = client.post("/v1/images", content=PNG, headers={**RAW, "Assay-Image-Id": quote(image_id)})
    in_form = client.post("/v1/images", files={"file": PNG}, data={"image_id": image_id})
    assert [in_header.status_code, in_form.status_code] == [422, 422]
    assert world.objects.stored == {}


def test_a_form_without_a_file_is_422_and_a_broken_one_400(client: TestClient) -> None:
    boundary = {"Content-Type": "multipart/form-data; boundary=b"}
    lacking = b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\ntext\r\n--b--\r\n'
    assert client.post("/v1/images", content=lacking, headers=boundary).status_code == 422
    assert client.post("/v1/images", content=b"no form", headers=boundary).status_code == 400
    assert client.post("/v1/images", files=[("file", PNG), ("file", PNG)]).status_code == 400


@pytest.mark.parametrize("charset", ["undefined", "punycode"])
def test_a_form_that_is_not_in_its_own_character_set_is_400(client: TestClient, charset: str) -> None:
    form = '--b\r\nContent-Disposition: form-data; name="image_id"\r\n\r\n\xe4\r\n--b--\r\n'.encode("latin-1")
    kind = {"Content-Type": f"multipart/form-data; boundary=b; charset={charset}"}
    assert client.post("/v1/images", content=form, headers=kind).status_code == 400


def test_an_image_of_the_largest_size_is_taken_in_both_forms(world: World, client: TestClient) -> None:
    largest = PNG.ljust(world.services.max_image_bytes, b"\x00")
    assert client.post("/v1/images", content=largest, headers=RAW).status_code == 202
    assert client.post("/v1/images", files={"file": largest}).status_code == 202


def test_one_byte_more_is_413_and_names_the_limit(world: World, client: TestClient) -> None:
    too_large = PNG.ljust(world.services.max_image_bytes + 1, b"\x00")
    for response in (
        client.post("/v1/images", content=too_large, headers=RAW),
        client.post("/v1/images", files={"file": too_large}),
        client.post("/v1/images", files={"file": too_large * 8}),
    ):
        assert (response.status_code, response.json()["limit_bytes"]) == (413, 10_000)


def test_a_body_without_a_length_is_413_once_it_passes_the_limit(client: TestClient) -> None:
    def without_length() -> Iterator[bytes]:
        yield PNG
        for _ in range(20):
            yield b"\x00" * 1000

    assert client.post("/v1/images", content=without_length(), headers=RAW).status_code == 413


@pytest.mark.parametrize("content_type", ["image/png", "multipart/form-data; boundary=b"])
def test_a_length_beyond_the_limit_is_413_before_anything_is_read(world: World, content_type: str) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("the body was read")

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [
        (b"authorization", b"Bearer assay_ingest"),
        (b"content-type", content_type.encode()),
        (b"content-length", b"99999999"),
    ]
    scope = {"type": "http", "method": "POST", "path": "/v1/images", "headers": headers, "query_string": b""}
    asyncio.run(create_app(world.services)(scope, receive, send))
    assert sent[0]["status"] == 413


def test_more_than_memory_allows_is_429_with_retry_after_and_memory_is_given_back(world: World) -> None:
    world = world.having(budget=MemoryBudget(150))
    with TestClient(create_app(world.services), headers={"Authorization": "Bearer assay_ingest"}) as client:
        statuses = [client.post("/v1/images", content=PNG, headers=RAW).status_code for _ in range(3)]
        refused = client.post("/v1/images", content=PNG * 2, headers=RAW)
    assert statuses == [202, 202, 202]
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")


def test_a_store_or_database_out_of_reach_is_503(world: World, client: TestClient) -> None:
    world.register.failure = TransientError()
    assert client.post("/v1/images", content=PNG, headers=RAW).status_code == 503
    world.objects.failure = TransientError()
    assert client.post("/v1/images", content=PNG, headers=RAW).status_code == 503


def test_a_store_that_forbids_the_upload_is_503_too(world: World, client: TestClient) -> None:
    world.objects.failure = RefusedError("AccessDenied on http://10.0.0.7:9000")
    response = client.post("/v1/images", content=PNG, headers=RAW)
    assert response.status_code == 503
    assert "10.0.0.7" not in response.text


def test_an_upload_bucket_that_ingest_refuses_is_our_defect(world: World) -> None:
    with TestClient(
        create_app(world.having(upload_bucket="artifacts").services), headers={"X-API-Key": "assay_ingest"}
    ) as client:
        assert client.post("/v1/images", content=PNG, headers=RAW).status_code == 500


def test_the_description_tells_of_both_forms(client: TestClient) -> None:
    operation = client.get("/openapi.json").json()["paths"]["/v1/images"]["post"]
    assert {"multipart/form-data", "image/*"} == operation["requestBody"]["content"].keys()
    assert {parameter["name"] for parameter in operation["parameters"]} == {
        "Assay-Image-Id",
        "Assay-Source",
        "Idempotency-Key",
    }
