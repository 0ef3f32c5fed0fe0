"""Errors as problem details (RFC 9457): one shape for everything that goes wrong.

Each carries the request's id, so that a platform's engineer and ours can talk
about the same line of the log; none carries internals.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict
from sqlalchemy.exc import DataError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from api.errors.catalogue import CATALOGUE, ErrorCode, code_for, type_of
from worker.errors import TransientError
from worker.log import get_logger
from worker.objects.trouble import RefusedError

log = get_logger()

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 5


class Problem(BaseModel):
    """Problem details by RFC 9457."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    request_id: str


class ProblemError(Exception):
    """The request cannot be served; becomes a problem response."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        code: ErrorCode | None = None,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        """Keep what the response says.

        Args:
            status: HTTP status.
            detail: a sentence for the person who made the request.
            code: which kind of error; None for the one that the status stands for.
            headers: further response headers.
            members: extension members of the problem.
        """
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.code = code or code_for(status)
        self.headers = headers
        self.members = members


class InvalidError(ProblemError):
    """One part of the request has a value that cannot be."""

    def __init__(self, place: str, name: str, message: str) -> None:
        """Name the part, ``place`` being ``path``, ``query``, ``header`` or ``body``."""
        errors = [{"loc": [place, name], "msg": message}]
        super().__init__(HTTPStatus.UNPROCESSABLE_ENTITY, f"{name}: {message}", errors=errors)


def problem_response(
    request_id: str,
    status: int,
    detail: str,
    headers: Mapping[str, str] | None = None,
    *,
    code: ErrorCode | None = None,
    **members: Any,
) -> JSONResponse:
    """Return the response for a problem; without ``code`` it is of the kind that the status stands for."""
    kind = code or code_for(status)
    title = CATALOGUE[kind].title if CATALOGUE[kind].status == status else HTTPStatus(status).phrase
    problem = Problem(type=type_of(kind), title=title, status=status, detail=detail, request_id=request_id, **members)
    return JSONResponse(problem.model_dump(), status, dict(headers or {}), MEDIA_TYPE)


def problem_of(request_id: str, error: ProblemError) -> JSONResponse:
    """Return the response that an error becomes."""
    return problem_response(request_id, error.status, error.detail, error.headers, code=error.code, **error.members)


def retry_later(request_id: str, detail: str) -> JSONResponse:
    """Return the 503 of a part that is out of reach."""
    return problem_response(
        request_id, HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": str(RETRY_AFTER_SECONDS)}
    )


def install(app: FastAPI) -> None:
    """Make every error of the app a problem; what is left over is the request context's 500."""
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(TransientError, _on_transient_error)
    # The store forbids what we ask of it: for the client no different from a store that is away.
    app.add_exception_handler(RefusedError, _on_transient_error)
    app.add_exception_handler(DataError, _on_data_error)


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)  # noqa: S101 - Starlette's handlers are typed for any exception.
    return problem_of(request.state.request_id, error)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - as above.
    return problem_response(request.state.request_id, error.status_code, str(error.detail), error.headers)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - as above.
    # What was sent is left out: it may be a secret.
    errors = [{"loc": list(fault["loc"]), "msg": fault["msg"]} for fault in error.errors()]
    detail = "; ".join(f"{fault['loc'][-1]}: {fault['msg']}" for fault in errors)
    return problem_response(request.state.request_id, HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors=errors)


async def _on_transient_error(request: Request, error: Exception) -> Response:
    # The message may hold addresses of our parts; the class's own sentence does not.
    log.warning("request_postponed", error=str(error), cause=repr(error.__cause__))
    return retry_later(request.state.request_id, "A part that Assay needs does not answer; try again later.")


async def _on_data_error(request: Request, error: Exception) -> Response:
    # A NUL in a text, for one: valid in HTTP, impossible in Postgres, and hence the name of nothing.
    log.info("request_unstorable", error=str(error))
    return problem_response(
        request.state.request_id, HTTPStatus.UNPROCESSABLE_ENTITY, "The request holds a value that cannot be stored."
    )


_PROBLEM = {"content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}}
_ANYWHERE = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.SERVICE_UNAVAILABLE,
)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return, for the OpenAPI description, these problems beside those that every route with a key may answer with."""
    meant = sorted({*_ANYWHERE, *map(HTTPStatus, statuses)})
    return {int(status): {"description": CATALOGUE[code_for(status)].title, **_PROBLEM} for status in meant}


def invalid_only() -> dict[int | str, dict[str, Any]]:
    """Return the same for a route that needs no key and no part of ours."""
    return {422: {"description": CATALOGUE[ErrorCode.INVALID].title, **_PROBLEM}}


# Of routes that take a body.
WITH_BODY = (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
