"""The OpenAPI's examples: each route has them, and each is what its schema says."""

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator

from api.errors.problems import MEDIA_TYPE
from api.main import create_app, services_from
from api.reference.examples import EXAMPLES
from worker.settings import Settings

JSON = "application/json"


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return create_app(services_from(Settings())).openapi()


def operations(described: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation
    for event, methods in described["webhooks"].items():
        yield f"webhook {event}", methods["post"]


def contents(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is sent and answered: what it is, and its schema with its examples."""
    yield from operation.get("requestBody", {}).get("content", {}).items()
    for response in operation["responses"].values():
        yield from response.get("content", {}).items()


def shown(content: dict[str, Any]) -> list[Any]:
    examples = [one["value"] for one in content.get("examples", {}).values()]
    return [*examples, content["example"]] if "example" in content else examples


def test_every_example_is_what_its_schema_says(described: dict[str, Any]) -> None:
    wrong, checked = [], 0
    for route, operation in operations(described):
        for _, content in contents(operation):
            schema = {**content.get("schema", {}), "components": described["components"]}
            validator = Draft202012Validator(schema, validate_formats=True)
            for example in shown(content):
                checked += 1
                wrong += [f"{route}: {error.instance_path} {error.message}" for error in validator.iter_errors(example)]
    assert wrong == []
    assert checked > 500


def test_every_answer_and_every_problem_has_an_example(described: dict[str, Any]) -> None:
    statuses = {example.route: str(example.status) for example in EXAMPLES}
    lacking = []
    for route, operation in operations(described):
        for status, response in operation["responses"].items():
            content = response.get("content", {})
            needed = MEDIA_TYPE if MEDIA_TYPE in content else JSON
            if status == statuses.get(route) or MEDIA_TYPE in content:
                lacking += [f"{route} {status}"] if needed in content and not shown(content[needed]) else []
    assert lacking == []


def test_every_webhook_shows_a_whole_message(described: dict[str, Any]) -> None:
    bodies = [operation["requestBody"]["content"] for name, operation in operations(described) if "webhook" in name[:7]]
    assert len(bodies) == len(described["webhooks"])
    assert all(body[JSON]["example"].keys() == {"type", "timestamp", "data"} for body in bodies)
