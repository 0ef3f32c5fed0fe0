"""What the OpenAPI has beside what FastAPI knows: requests, answers and problems as examples, and webhooks."""

import json
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import Any

from fastapi import FastAPI

from api.errors.catalogue import CATALOGUE, ErrorCode, type_of
from api.errors.problems import MEDIA_TYPE
from api.reference.examples import EXAMPLES, Example
from api.reference.webhook_bodies import webhooks

_JSON = "application/json"
# What problems of a kind have beside what all have.
_MEMBERS: dict[ErrorCode, dict[str, Any]] = {
    ErrorCode.MISSING_SCOPE: {"missing_scope": "ingest"},
    ErrorCode.INVALID: {"errors": [{"loc": ["query", "limit"], "msg": "Input should be less than or equal to 200"}]},
}


@cache
def answers() -> dict[str, Any]:
    """Return what the examples are answered with by route, as a test recorded it; only JSON is kept."""
    recorded: dict[str, Any] = json.loads((files("api.reference") / "answers.json").read_text("utf-8"))
    return recorded


def show_examples(app: FastAPI) -> None:
    """Put the examples into the app's OpenAPI."""
    describe = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = describe()
            for example in EXAMPLES:
                method, _, path = example.route.partition(" ")
                # Routes of other parts of the app, such as the console's, may be served without these.
                if operation := schema["paths"].get(path, {}).get(method.lower()):
                    _show(operation, example)
            schema["webhooks"] = webhooks()
        assert app.openapi_schema is not None  # noqa: S101 - describing has filled it.
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]


def _show(operation: dict[str, Any], example: Example) -> None:
    operation["x-codeSamples"] = [
        {"lang": "Shell", "label": "curl", "source": example.curl()},
        {"lang": "Python", "label": "Python", "source": example.python()},
        {"lang": "JavaScript", "label": "JavaScript", "source": example.javascript()},
    ]
    content = operation.get("requestBody", {}).get("content", {})
    if example.body is not None and _JSON in content:
        content[_JSON]["example"] = example.body
    for status, response in operation["responses"].items():
        content = response.get("content", {})
        if MEDIA_TYPE in content:
            # FastAPI gives all routes the same object.
            response["content"] = {**content, MEDIA_TYPE: {**content[MEDIA_TYPE], "examples": problems_of(int(status))}}
        elif status == str(example.status) and example.route in answers():
            content[_JSON]["example"] = answers()[example.route]


def problems_of(status: int) -> dict[str, Any]:
    """Return an example of each kind of problem that a status stands for, by its code."""
    return {
        code.value: {
            "summary": kind.meaning,
            "value": {
                "type": type_of(code),
                "title": kind.title,
                "status": status,
                "detail": kind.meaning,
                "request_id": "0d5c1f6c2f0b4b6f8f7a3f0e9b1c2d3e",
                **_MEMBERS.get(code, {}),
            },
        }
        for code, kind in CATALOGUE.items()
        if kind.status == HTTPStatus(status)
    }
