"""Whatever a request says is either known or refused."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from tests.support.api_world import World


def models_in(schema: Any, definitions: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object that a schema leads to, by name."""
    if isinstance(schema, dict):
        name = str(schema.get("$ref", "")).rpartition("/")[2]
        if name:
            yield name, definitions[name]
            yield from models_in(definitions[name], definitions)
        for inner in schema.values():
            yield from models_in(inner, definitions)
    elif isinstance(schema, list):
        for inner in schema:
            yield from models_in(inner, definitions)


def test_no_json_body_lets_an_unknown_field_through(world: World) -> None:
    description = create_app(world.services).openapi()
    definitions = description["components"]["schemas"]
    strict, loose = set[str](), set[str]()
    for operations in description["paths"].values():
        for operation in operations.values():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            for name, schema in models_in(content, definitions):
                if schema.get("type") == "object":
                    (strict if schema.get("additionalProperties") is False else loose).add(name)
    assert loose == set()
    assert len(strict) > 9


@pytest.mark.parametrize(
    ("path", "body", "misspelt"),
    [
        (
            "/v1/policies",
            {"false_positive_budget": 0.01, "miss_budget": 0.1, "reason": "x", "prior_shfit": 9},
            "prior_shfit",
        ),
        ("/v1/bundles/wild/promote", {"reason": "x", "forced": True}, "forced"),
        ("/v1/scans", {"image_ids": ["a"], "bundle": "x"}, "bundle"),
        ("/v1/scans", {"under": {"bucket": "uploads", "prefx": "a/"}}, "prefx"),
    ],
)
def test_a_misspelt_field_is_named_and_nothing_happens(
    client: TestClient, path: str, body: dict[str, Any], misspelt: str
) -> None:
    answer = client.post(path, json=body)
    assert answer.status_code == 422
    assert misspelt in answer.json()["detail"]


def test_no_route_that_takes_a_key_lets_an_unknown_query_parameter_through(client: TestClient) -> None:
    description = client.get("/openapi.json").json()
    operations = [(method, path) for path, methods in description["paths"].items() for method in methods]
    refused = {}
    for method, path in operations:
        if description["paths"][path][method].get("security") and path != "/v1/events/s3":
            answer = client.request(method.upper(), f"{re.sub(r'{[^}]+}', '1', path)}?verdct=1")
            refused[method, path] = (answer.status_code, "verdct: unknown parameter" in answer.json().get("detail", ""))
    assert {operation: found for operation, found in refused.items() if found != (422, True)} == {}
    assert len(refused) > 50


def test_an_unknown_query_parameter_is_told_with_those_that_are_known(client: TestClient) -> None:
    assert client.get("/v1/scans?limits=3").json()["detail"].endswith("known are cursor, limit, state")


def test_stores_may_be_given_any_address_and_send_what_they_like(client: TestClient) -> None:
    answer = client.post("/v1/events/s3?from=minio", json={"EventName": "s3:TestEvent", "Whatever": 1})
    assert answer.status_code == 204


def test_an_upload_s_form_has_no_unknown_field(client: TestClient) -> None:
    answer = client.post("/v1/images", files={"file": b"\x89PNG\r\n\x1a\n"}, data={"imageid": "x"})
    assert answer.status_code == 422
    assert "imageid" in answer.json()["detail"]
