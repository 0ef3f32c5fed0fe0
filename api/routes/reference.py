"""The API's reference for people: one page made from the OpenAPI, without anybody else's server."""

import json
import re
from functools import lru_cache
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse

from api.errors.catalogue import CATALOGUE, code_for
from api.reference.fields import Field, fields_of
from api.reference.webhook_bodies import EVENTS, message_of
from worker.database.webhook_endpoints import Event

router = APIRouter(include_in_schema=False)


def _with_code(text: str) -> Markup:
    """Mark what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 # nosec B704 - escaped before


_PAGES = Environment(loader=PackageLoader("api.reference", "page"), autoescape=select_autoescape())
_PAGES.filters["with_code"] = _with_code
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


# Tags by the job that somebody has in mind; what is named nowhere stands at the end.
_JOBS = {
    "Bring images and act on verdicts": ("images", "fetches", "verdicts", "changes", "webhook endpoints", "events"),
    "Review, correct, appeal, state reasons": (
        "labels",
        "reviewers",
        "appeals",
        "statements",
        "exports",
        "transparency",
    ),
    "Choose what is decided": ("policies", "bundles", "challengers", "training runs", "drift"),
    "Keep it running": ("scans", "rescans", "stats", "retention", "audit", "health", "errors"),
}


@router.get("/")
def show_landing_page() -> HTMLResponse:
    """Say what this is, and where to go."""
    return HTMLResponse(_PAGES.get_template("landing.html").render(), headers=_HEADERS)


@router.get("/docs")
def show_reference(request: Request) -> HTMLResponse:
    """Show the page."""
    return HTMLResponse(_page_of(request.app), headers=_HEADERS)


@lru_cache(maxsize=1)
def _page_of(app: FastAPI) -> str:
    """Write the page, once for as long as the app lives."""
    schema = app.openapi()
    jobs = _by_job(_by_tag(schema))
    page = _PAGES.get_template("page.html")
    return page.render(
        description=schema["info"]["description"], jobs=jobs, events=_events(schema), catalogue=CATALOGUE
    )


@router.get("/docs/reference.css")
def get_style() -> Response:
    """Return the page's style."""
    style = (files("api.reference") / "page" / "reference.css").read_text("utf-8")
    return Response(style, media_type="text/css", headers={**_HEADERS, "Cache-Control": "max-age=3600"})


@router.get("/docs/reference.js")
def get_script() -> Response:
    """Return the page's script: search, and buttons that copy."""
    script = (files("api.reference") / "page" / "reference.js").read_text("utf-8")
    return Response(script, media_type="text/javascript", headers={**_HEADERS, "Cache-Control": "max-age=3600"})


def _events(schema: dict[str, Any]) -> list[tuple[str, str, str, list[Field]]]:
    components = schema["components"]["schemas"]
    return [
        (event.value, meaning, json.dumps(message_of(event), indent=2), fields_of(_body(schema, event), components))
        for event, meaning in EVENTS.items()
    ]


def _body(schema: dict[str, Any], event: Event) -> dict[str, Any]:
    content: dict[str, Any] = schema["webhooks"][event.value]["post"]["requestBody"]["content"]["application/json"]
    return dict(content["schema"])


def _fields(schema: dict[str, Any], content: dict[str, Any]) -> list[Field]:
    """Return the fields of a body that is JSON or a form; none of any other."""
    for media_type in ("application/json", "multipart/form-data"):
        if body := content.get(media_type, {}).get("schema"):
            return fields_of(body, schema["components"]["schemas"])
    return []


def _answer(schema: dict[str, Any], operation: dict[str, Any]) -> list[Field]:
    good = [response for status, response in operation["responses"].items() if status.startswith("2")]
    return next((fields for one in good if (fields := _fields(schema, one.get("content", {})))), [])


def _example(operation: dict[str, Any]) -> str | None:
    """Return the answer to the example; None where it is no JSON."""
    good = [response for status, response in operation["responses"].items() if status.startswith("2")]
    contents = [one.get("content", {}).get("application/json", {}) for one in good]
    shown = [json.dumps(one["example"], indent=2, ensure_ascii=False) for one in contents if "example" in one]
    return next(iter(shown), None)


def _responses(operation: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    """Return statuses with their meanings, and the kind of error that each is."""
    return [
        (status, response["description"], code_for(int(status)) if status[0] in "45" else None)
        for status, response in sorted(operation["responses"].items())
    ]


def _by_tag(schema: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    tags: dict[str, list[dict[str, Any]]] = {}
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            samples = operation.get("x-codeSamples", [{}])
            shown = {
                "method": method.upper(),
                "path": path,
                "description": operation.get("description", ""),
                "parameters": operation.get("parameters", []),
                "samples": [(sample.get("label", ""), sample.get("source", "")) for sample in samples],
                "id": operation["operationId"],
                "request": _fields(schema, operation.get("requestBody", {}).get("content", {})),
                "answer": _answer(schema, operation),
                "example": _example(operation),
                "responses": _responses(operation),
            }
            tags.setdefault(operation.get("tags", ["other"])[0], []).append(shown)
    return tags


def _by_job(tags: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, list[dict[str, Any]]]]:
    jobs = {job: {tag: tags[tag] for tag in names if tag in tags} for job, names in _JOBS.items()}
    placed = {tag for named in jobs.values() for tag in named}
    rest = {tag: operations for tag, operations in tags.items() if tag not in placed}
    return {job: named for job, named in {**jobs, "Everything else": rest}.items() if named}
