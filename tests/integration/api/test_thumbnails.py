"""Thumbnails through the API and the console: made when somebody looks, shown once they are there."""

import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from api.services import Services
from tests.integration.api.conftest import Rows, SignIn
from worker.database.api_keys import ApiKeys, Scope
from worker.database.session import Database
from worker.database.tables import ScanKind, ScanState
from worker.database.thumbnails import put
from worker.objects.clients import s3_client
from worker.objects.object_store import ObjectStore
from worker.settings import Settings

pytestmark = pytest.mark.integration


def test_one_that_is_missing_is_made_and_then_led_to(services: Services, database: Database, rows: Rows) -> None:
    image = rows.image("cat")
    key = ApiKeys(database).create("platform", [Scope.READ]).key
    headers = {"Authorization": f"Bearer {key}"}
    with TestClient(create_app(services), headers=headers, follow_redirects=False) as client:
        coming = client.get("/v1/images/cat/thumbnail")
        assert (coming.status_code, coming.headers["Retry-After"]) == (202, "1")
        with database.transaction() as session:
            put(session, image, "thumbnails/1/1.webp")
        there = client.get("/v1/images/cat/thumbnail")
        assert (there.status_code, "thumbnails/1/1.webp" in there.headers["Location"]) == (307, True)
        assert client.get("/v1/images/nobody/thumbnail").status_code == 404


def test_a_file_that_is_no_picture_has_none(services: Services, database: Database, rows: Rows) -> None:
    rows.scan(rows.image("cat"), ScanState.REJECTED, kind=ScanKind.THUMBNAIL, reason="undecodable")
    key = ApiKeys(database).create("platform", [Scope.READ]).key
    with TestClient(create_app(services), headers={"Authorization": f"Bearer {key}"}) as client:
        assert client.get("/v1/images/cat/thumbnail").status_code == 404


def test_the_console_shows_it_and_lets_nothing_run(
    sign_in: SignIn, services: Services, database: Database, rows: Rows, stack_settings: Settings
) -> None:
    client, _ = sign_in(Scope.READ)
    image = rows.image("cat")
    assert client.get("/console/thumbnail?id=cat").status_code == 202
    ObjectStore(s3_client(stack_settings)).put(services.artifact_bucket, "thumbnails/x.webp", b"webp", "image/webp")
    with database.transaction() as session:
        put(session, image, "thumbnails/x.webp")
    shown = client.get("/console/thumbnail?id=cat")
    assert (shown.status_code, shown.content, shown.headers["content-type"]) == (200, b"webp", "image/webp")
    assert "sandbox" in shown.headers["content-security-policy"]
    assert client.get("/console/thumbnail?id=nobody").status_code == 404


def test_an_image_without_one_that_can_be_made_is_done_without(sign_in: SignIn, rows: Rows) -> None:
    client, _ = sign_in(Scope.READ)
    rows.scan(rows.image("cat"), ScanState.DEAD, kind=ScanKind.THUMBNAIL, reason="attempts_exhausted")
    assert client.get("/console/thumbnail?id=cat").status_code == 204
