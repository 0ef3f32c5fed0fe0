"""Appeals through the API and the console: who may bring, see and decide them."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from api.services import Services
from tests.integration.api.conftest import SITE, Rows, SignIn
from worker.database.api_keys import ApiKeys, Scope
from worker.database.appeals import Appeals
from worker.database.audit import Actor
from worker.database.session import Database
from worker.decisions.vocabulary import VerdictValue

pytestmark = pytest.mark.integration

APPEAL = {"reason": "I took it <b>myself</b>.", "contact": "user-42"}
DECISION = {"decision": "not_ai_generated", "reason": "a second frame"}
Client = Callable[..., TestClient]


@pytest.fixture
def client(services: Services, database: Database) -> Iterator[Client]:
    """Gives a client with a new key of these scopes."""
    app, clients = create_app(services), list[TestClient]()

    def made(*scopes: Scope) -> TestClient:
        key = ApiKeys(database).create("somebody", scopes).key
        clients.append(TestClient(app, headers={"Authorization": f"Bearer {key}"}))
        return clients[-1]

    yield made
    for one in clients:
        one.close()


@pytest.fixture
def accused(rows: Rows) -> str:
    """An image that a machine accused."""
    rows.verdict(rows.image("cat"), verdict=VerdictValue.AI_GENERATED, probability=0.97)
    return "cat"


def test_an_appeal_is_brought_listed_decided_and_remembered(client: Client, accused: str) -> None:
    platform, reviewer = client(Scope.READ, Scope.INGEST), client(Scope.READ, Scope.REVIEW)
    brought = platform.post(f"/v1/images/{accused}/appeals", json=APPEAL)
    assert (brought.status_code, brought.json()["state"]) == (201, "open")
    again = platform.post(f"/v1/images/{accused}/appeals", json=APPEAL)
    assert (again.status_code, "open already" in again.json()["detail"]) == (409, True)
    waiting = reviewer.get("/v1/appeals").json()
    assert (waiting["open"], waiting["overdue"], waiting["items"][0]["contact"]) == (1, 0, "user-42")
    decided = reviewer.post(f"/v1/appeals/{brought.json()['id']}/decision", json=DECISION)
    assert (decided.status_code, decided.json()["state"]) == (200, "upheld")
    assert reviewer.post(f"/v1/appeals/{brought.json()['id']}/decision", json=DECISION).status_code == 409
    (remembered,) = platform.get(f"/v1/images/{accused}/appeals").json()["items"]
    assert (remembered["state"], remembered["verdict"]) == ("upheld", "not_ai_generated")
    assert platform.get(f"/v1/images/{accused}").json()["verdict"]["verdict"] == "not_ai_generated"


def test_platforms_do_not_see_what_others_said_and_readers_bring_nothing(client: Client, accused: str) -> None:
    platform, reader = client(Scope.READ, Scope.INGEST), client(Scope.READ)
    platform.post(f"/v1/images/{accused}/appeals", json=APPEAL)
    assert "user-42" not in reader.get(f"/v1/images/{accused}/appeals").text
    assert reader.get("/v1/appeals").status_code == 403
    assert reader.post(f"/v1/images/{accused}/appeals", json=APPEAL).status_code == 403
    assert platform.post("/v1/appeals/1/decision", json=DECISION).status_code == 403


@pytest.mark.parametrize(
    "body", [{}, {"reason": ""}, {"reason": "x" * 2001}, {"reason": "x\u0000"}, {**APPEAL, "more": 1}]
)
def test_what_cannot_be_an_appeal_is_refused(client: Client, accused: str, body: Any) -> None:
    assert client(Scope.INGEST).post(f"/v1/images/{accused}/appeals", json=body).status_code == 422


def test_an_unknown_image_and_an_unknown_appeal_are_not_found(client: Client) -> None:
    admin = client(Scope.ADMIN)
    assert admin.post("/v1/images/nobody/appeals", json=APPEAL).status_code == 404
    assert admin.get("/v1/images/nobody/appeals").status_code == 404
    assert admin.post("/v1/appeals/99/decision", json=DECISION).status_code == 404


def test_the_console_shows_what_was_said_and_runs_none_of_it(sign_in: SignIn, database: Database, accused: str) -> None:
    case = Appeals(database).add(Actor("platform"), accused, **APPEAL)
    assert case is not None
    visitor, token = sign_in(Scope.READ, Scope.REVIEW)
    shown = visitor.get("/console/appeals").text
    assert ("&lt;b&gt;myself&lt;/b&gt;" in shown, "<b>myself</b>" in shown) == (True, False)
    form = {"csrf": token, **DECISION}
    decided = visitor.post(f"/console/appeals/{case.appeal.id}/decide", data=form, headers={"Origin": SITE})
    assert decided.headers["location"] == "/console/appeals?notice=appeal_decided"
    again = visitor.post(f"/console/appeals/{case.appeal.id}/decide", data=form, headers={"Origin": SITE})
    assert again.status_code == 409
    assert "a second frame" in visitor.get("/console/image?id=cat").text
    reader, _ = sign_in(Scope.READ)
    assert reader.get("/console/appeals").status_code == 403
    assert "myself" not in reader.get("/console/image?id=cat").text
