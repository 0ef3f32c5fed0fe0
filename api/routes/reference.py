"""The API's reference for people: one page made from the OpenAPI, without scripts and without anybody else's server."""

from importlib.resources import files
from typing import Any

from fastapi import APIRouter, Request, Response
from jinja2 import Environment, PackageLoader, select_autoescape
from starlette.responses import HTMLResponse

from api.errors.catalogue import CATALOGUE
from worker.database.webhook_endpoints import Event

router = APIRouter(include_in_schema=False)

_PAGES = Environment(loader=PackageLoader("api.reference", "page"), autoescape=select_autoescape())
_POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_HEADERS = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
EVENTS = {
    Event.VERDICT_CREATED: "an image has a new verdict, by machine or person",
    Event.VERDICT_CHANGED: "what is served for an image says something else than before",
    Event.SCAN_REJECTED: "an image cannot be scanned; `reason` says why",
    Event.SCAN_DEAD: "a scan was given up after its last attempt; it can be replayed",
    Event.BUNDLE_PROMOTED: "another bundle serves, by promotion or rollback",
}


@router.get("/docs")
def show_reference(request: Request) -> HTMLResponse:
    """Show the page."""
    schema = request.app.openapi()
    page = _PAGES.get_template("page.html")
    html = page.render(
        description=schema["info"]["description"], tags=_by_tag(schema), events=EVENTS, catalogue=CATALOGUE
    )
    return HTMLResponse(html, headers=_HEADERS)


@router.get("/docs/reference.css")
def get_style() -> Response:
    """Return the page's style."""
    style = (files("api.reference") / "page" / "reference.css").read_text("utf-8")
    return Response(style, media_type="text/css", headers={**_HEADERS, "Cache-Control": "max-age=3600"})


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
                "example": samples[0].get("source", ""),
                "responses": {status: told["description"] for status, told in operation["responses"].items()},
            }
            tags.setdefault(operation.get("tags", ["other"])[0], []).append(shown)
    return tags
