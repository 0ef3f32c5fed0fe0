import asyncio
import re
from collections.abc import MutableMapping
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.exc import DataError
from starlette.types import Message, Receive, Scope, Send

from api.main import create_app
from api.metrics import HttpMetrics
from api.requests.request_context import RequestContext
from tests.support.api_world import World, fake_world
from worker.database.session import DatabaseDownError
from worker.errors import TransientError


@pytest.mark.parametrize(
    ("method", "url", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/v1/images/unknown", 404),
        ("GET", "/v1/images/", 404),
        ("DELETE", "/v1/scans", 405),
        ("PUT", "/v1/images", 405),
        ("GET", "/v1/scans?state=lost", 422),
        ("GET", "/v1/scans?state=dead&limit=201", 422),
        ("GET", "/v1/scans?state=dead&cursor=no", 422),
        ("POST", "/v1/scans/0/replay", 422),
        ("POST", "/v1/scans/99999999999999999999/replay", 422),
        ("GET", "/v1/images/cat?as_of=2026-01-01T00:00:00", 422),
        ("GET", "/v1/images/cat/heatmap?detector=nobody", 422),
        ("POST", "/v1/images", 415),
    ],
)
def test_every_error_is_a_problem_with_the_request_id(client: TestClient, method: str, url: str, status: int) -> None:
    response = client.request(method, url)
    problem = response.json()
    assert response.headers["Content-Type"] == "application/problem+json"
    assert [status, status] == [response.status_code, problem["status"]]
    assert {"type", "title", "status", "detail", "request_id"} <= problem.keys()
    assert problem["request_id"] == response.headers["X-Request-Id"]


def test_a_validation_error_names_the_place_and_repeats_nothing_that_was_sent(client: TestClient) -> None:
    response = client.get("/v1/scans?state=my-secret")
    assert [error["loc"] for error in response.json()["errors"]] == [["query", "state"]]
    assert "my-secret" not in response.text


def test_a_database_out_of_reach_is_503_with_retry_after_and_no_address(world: World, client: TestClient) -> None:
    world.queries.failure = DatabaseDownError()
    response = client.get("/v1/images/cat")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    world.queries.failure = TransientError("http://10.0.0.7:9000 refused")
    assert "10.0.0.7" not in client.get("/v1/images/cat").text


def test_a_defect_is_500_without_internals(world: World, client: TestClient) -> None:
    world.queries.failure = KeyError("password=hunter2")
    response = client.get("/v1/images/cat")
    assert (response.status_code, response.headers["Content-Type"]) == (500, "application/problem+json")
    assert response.headers["X-Request-Id"] in response.text
    assert "hunter2" not in response.text


def test_each_request_is_logged_by_route_template_and_probes_are_not(
    client: TestClient, logged: list[MutableMapping[str, Any]]
) -> None:
    client.get("/v1/images/somebodys-private-id")
    client.get("/health/live")
    (line,) = logged
    assert tuple(line[name] for name in ("event", "method", "route", "status")) == (
        "request",
        "GET",
        "/v1/images/{image_id:encoded}",
        404,
    )


def test_a_value_that_postgres_cannot_hold_is_at_fault_not_we(world: World, client: TestClient) -> None:
    world.queries.failure = DataError("SELECT", {}, ValueError("NUL"))
    assert client.get("/v1/images/a%00b").status_code == 422


@pytest.mark.parametrize("request_id", ["abc-123", "7f2c:9/==", "x" * 128])
def test_a_harmless_request_id_is_kept(client: TestClient, request_id: str) -> None:
    assert request_id == client.get("/health/live", headers={"X-Request-Id": request_id}).headers["X-Request-Id"]


@pytest.mark.parametrize("request_id", ["", "x" * 129, "a b", "a\tb", '"', "<script>"])
def test_any_other_request_id_is_replaced(client: TestClient, request_id: str) -> None:
    given = client.get("/health/live", headers={"X-Request-Id": request_id}).headers["X-Request-Id"]
    assert re.fullmatch("[0-9a-f]{32}", given)


def test_half_an_answer_is_cut_off_rather_than_finished() -> None:
    async def breaks(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError("later")

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    around = RequestContext(breaks, HttpMetrics(fake_world().services.registry))
    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    with pytest.raises(ValueError, match="later"):
        asyncio.run(around(scope, receive, send))
    assert [message["type"] for message in sent] == ["http.response.start"]


def test_the_description_shows_problems_and_no_other_error_form(world: World) -> None:
    description = create_app(world.services).openapi()
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            for status, answer in operation["responses"].items():
                if status.startswith(("4", "5")) and path.startswith("/v1"):
                    assert answer["content"].keys() == {"application/problem+json"}, (method, path, status)
    assert "HTTPValidationError" not in description["components"]["schemas"]
