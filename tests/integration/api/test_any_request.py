"""Requests made from the OpenAPI, valid and not, with keys good and bad: no 5xx, nothing undocumented, no secret."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.main import create_app
from api.services import Services
from tests.integration.api.conftest import Rows
from worker.database.api_keys import ApiKeys, Scope
from worker.database.audit import Actor
from worker.database.session import Database
from worker.database.webhook_endpoints import Event, WebhookEndpoints

pytestmark = pytest.mark.integration

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
MOST_ROUTES = 30
BOUNDED = settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


class Asked:
    """The API over a database with something of everything, and the secrets that nobody may ever see."""

    def __init__(self, services: Services, database: Database, rows: Rows) -> None:
        image = rows.image("cat")
        verdict = rows.verdict(image, scan_id=rows.scan(image))
        rows.heatmap(verdict, "clip")
        me = Actor("tests")
        endpoint = WebhookEndpoints(database).add(me, "https://platform.example/", [Event.VERDICT_CREATED])
        keys = ApiKeys(database)
        self.good = keys.create("good", [Scope.ADMIN]).key
        self.reader = keys.create("reader", [Scope.READ]).key
        self.secrets = (endpoint.secret, keys.create("another", [Scope.ADMIN]).key, self.good, self.reader)
        self.app = create_app(services)

    def leaks(self, text: str) -> list[str]:
        """Return which secrets a text tells."""
        return [secret for secret in self.secrets if secret in text or secret.partition("_")[2] in text]


@pytest.fixture
def asked(services: Services, database: Database, rows: Rows) -> Asked:
    return Asked(services, database, rows)


def cases(asked: Asked, mode: GenerationMode) -> Iterator[Any]:
    """Yield, for each operation, a strategy of requests that are valid or not."""
    description = schemathesis.openapi.from_asgi("/openapi.json", asked.app)
    for found in description.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        # Where everything is allowed, nothing invalid can be made.
        if mode is GenerationMode.POSITIVE or operation.body or operation.query or operation.path_parameters:
            yield operation.as_strategy(generation_mode=mode)


def ask_all(asked: Asked, mode: GenerationMode, ask: Callable[[Any], None]) -> int:
    """Ask with every strategy; return how many operations there were."""
    operations = 0
    for strategy in cases(asked, mode):
        BOUNDED(given(strategy)(ask))()  # type: ignore[no-untyped-call]
        operations += 1
    return operations


def never_wait(case: Any) -> None:
    """Leave out of a request that it waits for changes, which nothing here makes."""
    if case.query:
        case.query.pop("wait", None)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_whatever_an_admin_asks_is_answered_as_documented(asked: Asked, mode: GenerationMode) -> None:
    def ask(case: Any) -> None:
        if mode is GenerationMode.POSITIVE:
            never_wait(case)
        response = case.call(headers={"Authorization": f"Bearer {asked.good}"})
        case.validate_response(response, checks=CHECKS)
        assert asked.leaks(response.text + str(response.headers)) == []

    assert ask_all(asked, mode, ask) > MOST_ROUTES


@pytest.mark.timeout(600)
@pytest.mark.parametrize("who", ["reader", "stranger", "nobody"])
def test_whatever_others_ask_is_answered_as_documented(asked: Asked, who: str) -> None:
    headers = {"reader": {"X-API-Key": asked.reader}, "stranger": {"X-API-Key": "assay_unknown"}, "nobody": {}}[who]

    def ask(case: Any) -> None:
        never_wait(case)
        response = case.call(headers=headers)
        case.validate_response(response, checks=CHECKS)
        assert asked.leaks(response.text + str(response.headers)) == []
        if who != "reader" and case.operation.path.startswith("/v1/") and "errors" not in case.operation.path:
            assert response.status_code == 401

    assert ask_all(asked, GenerationMode.POSITIVE, ask) > MOST_ROUTES
