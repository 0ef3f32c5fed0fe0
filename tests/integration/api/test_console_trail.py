"""What the console's visitors do counts against their keys and stands in the audit trail."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry

from api.main import create_app
from api.requests.pace import ValkeyPace
from api.services import Services
from infra.embedded.addresses import StackAddresses
from tests.integration.api.conftest import SITE, SignIn
from worker.database.api_keys import ApiKeys, Scope
from worker.database.audit import Audit
from worker.database.session import Database

pytestmark = pytest.mark.integration


def test_signing_in_and_out_and_the_address_of_a_key_stand_in_the_trail(sign_in: SignIn, database: Database) -> None:
    client, token = sign_in(Scope.READ)
    client.post("/console/sign-out", data={"csrf": token})
    trail = Audit(database).page(limit=9)
    assert [entry.action for entry in trail[:3]] == ["console.sign_out", "console.sign_in", "api_key.use"]
    assert {(entry.actor, entry.target) for entry in trail[:3]} == {("visitor", trail[0].target)}
    assert trail[2].detail == {"address": "testclient"}


def test_a_session_that_is_used_from_another_address_stands_in_the_trail(sign_in: SignIn, database: Database) -> None:
    client, _ = sign_in(Scope.READ)
    elsewhere = TestClient(client.app, SITE, cookies=client.cookies, client=("203.0.113.9", 1))
    assert [elsewhere.get("/console/policies").status_code for _ in range(2)] == [200, 200]
    trail = Audit(database).page(limit=9, action="api_key.use")
    assert [entry.detail["address"] for entry in trail] == ["203.0.113.9", "testclient"]


def test_what_the_console_asks_counts_against_the_key(
    services: Services, database: Database, stack: StackAddresses
) -> None:
    pace = ValkeyPace("3/minute", stack.redis_url, wall=lambda: datetime.now(UTC).timestamp())
    paced = TestClient(create_app(replace(services, pace=pace, registry=CollectorRegistry())), SITE)
    with paced:
        paced.post("/console/sign-in", data={"key": ApiKeys(database).create("hasty", [Scope.READ]).key})
        answers = [paced.get("/console/policies") for _ in range(4)]
        assert "Retry-After" in answers[-1].headers
        assert all(answer.headers["RateLimit"].startswith('"key";r=') for answer in answers)
        paced.portal.call(pace.close)  # type: ignore[union-attr]
    assert 429 in [answer.status_code for answer in answers]
