"""Where images stand on the platform: shown to people, hashed, erased with the image and with the person."""

from dataclasses import replace

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from api.main import create_app
from api.services import Services
from tests.integration.api.conftest import Rows
from worker.database.api_keys import ApiKeys, Scope
from worker.database.audit import Actor
from worker.database.erasure import Erasure
from worker.database.image_context import ImageContexts
from worker.database.session import Database

pytestmark = pytest.mark.integration

KEY = "a secret of at least thirty-two characters"
POST = "https://platform.example/posts/4711?a=1&b=2"


@pytest.fixture
def contexts(database: Database) -> ImageContexts:
    return ImageContexts(database, KEY)


@pytest.fixture
def client(services: Services, contexts: ImageContexts, database: Database) -> TestClient:
    app = create_app(replace(services, stores=replace(services.stores, image_contexts=contexts)))
    key = ApiKeys(database).create("platform", [Scope.ADMIN]).key
    return TestClient(app, headers={"Authorization": f"Bearer {key}"})


def put(client: TestClient, image_id: str, **context: object) -> int:
    return client.put(f"/v1/images/{image_id}/context", json=context).status_code


def test_the_post_and_the_uploaders_other_images_are_known_and_the_uploader_is_not(
    client: TestClient, rows: Rows, database: Database
) -> None:
    for name in ("cat", "dog", "bird"):
        rows.verdict(rows.image(name))
        assert put(client, name, context_url=POST, actor_id="user-42" if name != "bird" else "user-43") == 204
    place = client.get("/v1/images/cat/context").json()
    assert place == {"context_url": POST, "has_actor": True, "other_image_ids": ["dog"]}
    with database.transaction() as session:
        row = session.execute(text("SELECT string_agg(image_context::text, ' ') AS kept FROM image_context")).one()
        trail = session.scalar(text("SELECT string_agg(audit::text, ' ') FROM audit"))
    assert "user-42" not in f"{row.kept} {trail}"


def test_the_console_links_to_the_post_and_tells_it_nothing(
    services: Services, contexts: ImageContexts, rows: Rows, database: Database
) -> None:
    rows.verdict(rows.image("cat"))
    rows.verdict(rows.image("dog"))
    for name in ("cat", "dog"):
        contexts.put(Actor("platform"), name, context_url=POST, actor_id="user-42")
    browser = TestClient(create_app(services), base_url="https://testserver")
    browser.post("/console/sign-in", data={"key": ApiKeys(database).create("anna", [Scope.READ]).key})
    page = browser.get("/console/image?id=cat").text
    link = f'href="{POST.replace("&", "&amp;")}" target="_blank" rel="noopener noreferrer"'
    assert (link in page, "Other images of the uploader" in page) == (True, True)


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "ftp://x.example",
        "//x.example",
        "https://",
        "http://u:p@x.example",
        "https://x.example/ y",
    ],
)
def test_addresses_that_must_not_be_links_are_refused(client: TestClient, rows: Rows, url: str) -> None:
    rows.image("cat")
    assert put(client, "cat", context_url=url) == 422


def test_what_is_left_out_is_forgotten_and_unknown_images_have_no_place(client: TestClient, rows: Rows) -> None:
    rows.image("cat")
    assert put(client, "cat", context_url=POST, actor_id="user-42") == 204
    assert put(client, "cat", context_url=POST) == 204
    assert client.get("/v1/images/cat/context").json()["has_actor"] is False
    assert put(client, "nothing", context_url=POST) == 404
    assert client.get("/v1/images/nothing/context").status_code == 404


def test_it_is_erased_with_the_image_and_with_the_person(
    client: TestClient, rows: Rows, contexts: ImageContexts, database: Database
) -> None:
    for name in ("cat", "dog", "bird"):
        rows.image(name)
        assert put(client, name, context_url=POST, actor_id="user-42") == 204
    assert Erasure(database, "artifacts").erase(Actor("anna"), "cat")
    with database.transaction() as session:
        assert session.scalar(text("SELECT count(*) FROM image_context")) == 2
    assert client.post("/v1/actors/forget", json={"actor_id": "user-42"}).json() == {"images": 2}
    assert contexts.forget_actor(Actor("anna"), "user-42") == 0


def test_without_a_key_no_uploader_may_be_named(services: Services, rows: Rows, database: Database) -> None:
    rows.image("cat")
    key = ApiKeys(database).create("platform", [Scope.ADMIN]).key
    without = replace(services.stores, image_contexts=ImageContexts(database, None))
    app = create_app(replace(services, stores=without))
    client = TestClient(app, headers={"Authorization": f"Bearer {key}"})
    answer = client.put("/v1/images/cat/context", json={"actor_id": "user-42"})
    assert (answer.status_code, "ASSAY_ACTOR_KEY" in answer.text) == (422, True)
    assert put(client, "cat", context_url=POST) == 204
