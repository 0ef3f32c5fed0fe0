"""Around every request: its id, its log context, its metrics, and the last resort when it fails."""

import re
from collections.abc import Callable, MutableMapping
from http import HTTPStatus
from time import perf_counter
from typing import Any
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from api.errors.problems import problem_response
from api.metrics import HttpMetrics
from worker.log import get_logger

log = get_logger()

HEADER = "X-Request-Id"
_VALID_ID = re.compile(r"[A-Za-z0-9._~:+/=-]{1,128}")
# Asked every few seconds by machines; nobody wants them in the log.
_QUIET = frozenset({"/health/live", "/health/ready", "/metrics"})
_CLIENT_WENT_AWAY = 499


class RequestContext:
    """ASGI middleware; the outermost layer of the app."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics, clock: Callable[[], float] = perf_counter) -> None:
        self._app = app
        self._metrics = metrics
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request under its id; a valid incoming id is kept."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        response = _Response(scope, send, request_id)
        started = self._clock()
        with bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, response.send)
            except ClientDisconnect:
                response.status = _CLIENT_WENT_AWAY
            except Exception:
                log.exception("request_failed", method=scope["method"], route=route_of(scope))
                if response.started:
                    raise  # The server cuts the connection, so that nobody takes half an answer for a whole one.
                detail = "Something went wrong inside Assay; the log has it under this request id."
                failed = problem_response(request_id, HTTPStatus.INTERNAL_SERVER_ERROR, detail)
                await failed(scope, receive, response.send)
            finally:
                self._note(scope, response.status, self._clock() - started)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = route_of(scope)
        self._metrics.observe(scope["method"], route, status, seconds)
        if route not in _QUIET:
            log.info(
                "request", method=scope["method"], route=route, status=status, milliseconds=round(1000 * seconds, 1)
            )


class _Response:
    """Watches a response go out, and gives it the request's id and what is left of its quota."""

    def __init__(self, scope: Scope, send: Send, request_id: str) -> None:
        self._scope = scope
        self._send = send
        self._request_id = request_id
        self.started = False
        self.status = int(HTTPStatus.INTERNAL_SERVER_ERROR)

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self.status = int(message["status"])
            headers = MutableHeaders(scope=message)
            headers[HEADER] = self._request_id
            headers["X-Content-Type-Options"] = "nosniff"
            headers.update(self._scope["state"].get("rate_limit", {}))
        await self._send(message)


def request_id_of(scope: MutableMapping[str, Any]) -> str:
    """Return the incoming request id where it is harmless, else a new one."""
    sent = Headers(scope=scope).get(HEADER, "")
    return sent if _VALID_ID.fullmatch(sent) else uuid4().hex


def route_of(scope: MutableMapping[str, Any]) -> str:
    """Return the template of the route that served a request, or ``unmatched``."""
    return str(getattr(scope.get("route"), "path", "unmatched"))
