"""Statements through the API: told, asked for, named where incomplete, gone with the image."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from api.main import create_app
from api.services import Services
from tests.integration.api.conftest import Rows
from tests.unit.worker.database.test_statement import TERMS
from worker.database.api_keys import ApiKeys, Scope
from worker.database.session import Database
from worker.database.tables import PlatformDecision
from worker.decisions.vocabulary import DecidedBy, VerdictValue

pytestmark = pytest.mark.integration


@pytest.fixture
def client(services: Services, database: Database) -> Iterator[TestClient]:
    key = ApiKeys(database).create("platform", [Scope.ADMIN]).key
    with TestClient(create_app(services), headers={"Authorization": f"Bearer {key}"}) as made:
        yield made


def decide(client: TestClient, **changes: Any) -> Any:
    return client.post("/v1/images/cat/decisions", json={**TERMS, **changes})


def test_a_decision_becomes_a_statement_of_what_was_served_then(client: TestClient, rows: Rows) -> None:
    image = rows.image("cat")
    rows.verdict(image, verdict=VerdictValue.AI_GENERATED, probability=0.97, upper_threshold=0.9)
    answer = decide(client)
    assert (answer.status_code, answer.json()["missing"]) == (201, [])
    # What a person says afterwards was not known when the platform decided.
    rows.verdict(image, DecidedBy.HUMAN, verdict=VerdictValue.NOT_AI_GENERATED, reviewer="maria", reason="x")
    answer = client.get("/v1/images/cat/statement").json()
    assert answer["schema_version"] == "2"
    assert answer["statement"]["automated_decision"] == "AUTOMATED_DECISION_FULLY"
    assert "97.0 %" in answer["statement"]["decision_facts"]
    decide(client)
    after = client.get("/v1/images/cat/statement").json()["statement"]
    assert (after["automated_decision"], "maria" in str(after)) == ("AUTOMATED_DECISION_PARTIALLY", False)


def test_missing_terms_are_named(client: TestClient, rows: Rows) -> None:
    rows.verdict(rows.image("cat"))
    assert decide(client, category=None, source_type=None).json()["missing"] == ["category", "source_type"]
    refused = client.get("/v1/images/cat/statement")
    assert refused.status_code == 422
    assert [error["loc"][-1] for error in refused.json()["errors"]] == ["category", "source_type"]


def test_what_is_no_term_of_the_database_is_refused(client: TestClient, rows: Rows) -> None:
    rows.image("cat")
    assert decide(client, category="STATEMENT_CATEGORY_AI").status_code == 422
    assert decide(client, territorial_scope=["Germany"]).status_code == 422
    assert decide(client, decision_ground_reference_url="javascript:alert(1)").status_code == 422


def test_an_unknown_image_and_one_without_a_decision_have_no_statement(client: TestClient, rows: Rows) -> None:
    assert decide(client).status_code == 404
    rows.image("cat")
    for path in ("cat", "nobody"):
        assert client.get(f"/v1/images/{path}/statement").status_code == 404


def test_the_page_shows_the_same_and_runs_nothing(client: TestClient, rows: Rows) -> None:
    rows.verdict(rows.image("cat"), verdict=VerdictValue.AI_GENERATED, probability=0.97)
    decide(client, incompatible_content_explanation="<script>alert(1)</script>")
    page = client.get("/v1/images/cat/statement?form=html")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert ("&lt;script&gt;" in page.text, "<script>" in page.text) == (True, False)
    assert "97.0 %" in page.text
    assert "Labelled" in page.text


def test_erasure_takes_the_decision(client: TestClient, rows: Rows, database: Database) -> None:
    rows.image("cat")
    decide(client)
    assert client.delete("/v1/images/cat").status_code == 204
    with database.transaction() as session:
        assert session.scalars(select(PlatformDecision)).all() == []
    assert client.get("/v1/images/cat/statement").status_code == 404
