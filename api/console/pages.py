"""Pages: templates to HTML under a strict content policy, and errors as pages."""

from collections.abc import Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from sqlalchemy.exc import DataError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, RedirectResponse

from api.console import wording
from api.console.static_files import address_of
from api.console.visitor import CSRF_FIELD, SignInNeededError, Visitor
from api.errors.problems import RETRY_AFTER_SECONDS, ProblemError, problem_response
from worker.detectors.names import TITLES
from worker.errors import TransientError
from worker.log import get_logger
from worker.objects.trouble import RefusedError

log = get_logger()

# Everything comes from here; no inline script or style, no frame, nothing sent elsewhere.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' blob:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
# What our scripts send with every request, so that they are told of errors in words and not by a page.
BY_SCRIPT = ("X-Requested-With", "assay")


def link(path: str, **query: Any) -> str:
    """Return an address with a query; what is None or empty is left out."""
    set_values = {name: value for name, value in query.items() if value not in {None, ""}}
    return path + (f"?{urlencode(set_values, quote_via=quote)}" if set_values else "")


_PAGES = Environment(
    loader=PackageLoader("api.console"),
    autoescape=select_autoescape(),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_PAGES.filters |= wording.FILTERS
_PAGES.globals |= {
    "link": link,
    "static": address_of,
    "csrf_field": CSRF_FIELD,
    "notice_text": wording.notice_text,
    "detector_titles": TITLES,
}


def page(template: str, who: Visitor | None, status: int = HTTPStatus.OK, **values: Any) -> HTMLResponse:
    """Render a template into a response.

    Args:
        template: name without `.html`.
        who: visits; None for pages that are shown before signing in.
        status: HTTP status.
        values: what the template shows.
    """
    html = _PAGES.get_template(f"{template}.html").render(**{"who": who, "notice": None, **values})
    return HTMLResponse(html, status, HEADERS)


def go(path: str, **query: Any) -> RedirectResponse:
    """Send the browser to a page after a form; `said` names what is told there."""
    return RedirectResponse(link(path, **query), HTTPStatus.SEE_OTHER, {"Cache-Control": "no-store"})


class ConsoleRoute(APIRoute):
    """A route whose errors are pages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Let errors of this route become pages instead of JSON."""
        handler = super().get_route_handler()

        async def served(request: Request) -> Response:
            try:
                return await handler(request)
            except SignInNeededError as error:
                if by_script(request):
                    return show_problem(request, HTTPStatus.UNAUTHORIZED, "You are signed out. Sign in again.")
                return go(error.address)
            except ClientDisconnect:
                raise
            except Exception as error:  # noqa: BLE001 - the boundary: people get a page, the log gets the rest.
                return show_problem(request, *_in_words(error))

        return served


def by_script(request: Request) -> bool:
    """Tell whether one of our scripts asks."""
    return request.headers.get(BY_SCRIPT[0]) == BY_SCRIPT[1]


def show_problem(request: Request, status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return an error as whoever asks can read it, with further headers."""
    request_id = request.state.request_id
    if by_script(request):
        return problem_response(request_id, status, detail, headers)
    who = getattr(request.state, "visitor", None)
    shown = page("error", who, status, title=HTTPStatus(status).phrase, detail=detail, request_id=request_id)
    shown.headers.update(headers or {})
    return shown


def _in_words(error: Exception) -> tuple[int, str] | tuple[int, str, Mapping[str, str] | None]:
    if isinstance(error, ProblemError):
        return error.status, error.detail, error.headers
    if isinstance(error, HTTPException):
        return error.status_code, str(error.detail)
    if isinstance(error, RequestValidationError):
        return 422, "; ".join(f"{one['loc'][-1]}: {one['msg']}" for one in error.errors())
    if isinstance(error, DataError):
        return 422, "The request holds a value that cannot be stored."
    if isinstance(error, TransientError | RefusedError):
        log.warning("console_postponed", error=str(error))
        detail = "A part that Assay needs does not answer. Nothing is lost; try again in a moment."
        return 503, detail, {"Retry-After": str(RETRY_AFTER_SECONDS)}
    log.error("console_failed", exc_info=error)
    return 500, "Something went wrong inside Assay; the log has it under this request id."
