"""Bodies that are too long or too slow are cut off before anybody reads them whole."""

import asyncio
import sys
from collections.abc import Collection
from http import HTTPStatus
from typing import Any

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors.problems import ProblemError, problem_of
from api.requests.bodies import too_large

# JSON that people and platforms send; a thousand image ids of the longest kind fit.
MAX_JSON_BYTES = 2 * 1024 * 1024
IDLE_SECONDS = 15.0
TOTAL_SECONDS = 300.0


class BodyLimits:
    """ASGI middleware around the routes.

    Routes that read their bodies by hand count bytes themselves, under limits
    of their own; time is counted here for all.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limit: int = MAX_JSON_BYTES,
        by_hand: Collection[str],
        idle_seconds: float,
        total_seconds: float = TOTAL_SECONDS,
    ) -> None:
        """Keep the limits.

        Args:
            app: what is inside.
            limit: most bytes of a body.
            by_hand: paths whose routes count bytes themselves.
            idle_seconds: longest silence within a body.
            total_seconds: longest time that a body may take.
        """
        self._app = app
        self._limit = limit
        self._by_hand = by_hand
        self._idle = idle_seconds
        self._total = total_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request with its body under limits."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if problem := _framing_problem(scope):
            await problem_of(scope["state"]["request_id"], problem)(scope, receive, send)
            return
        limit = sys.maxsize if scope["path"] in self._by_hand else self._limit
        claimed = Headers(scope=scope).get("Content-Length", "")
        if claimed.isdecimal() and int(claimed) > limit:
            await problem_of(scope["state"]["request_id"], too_large(limit))(scope, receive, send)
            return
        body = _Body(receive, limit, self._idle, self._total)
        await self._app(scope, body.receive, send)


class _Body:
    """Counts bytes and time of one body. What it raises is an HTTPException, which FastAPI lets through."""

    def __init__(self, receive: Receive, limit: int, idle: float, total: float) -> None:
        self._receive = receive
        self._limit = limit
        self._idle = idle
        self._end = asyncio.get_running_loop().time() + total
        self._received = 0
        self._complete = False

    async def receive(self) -> Message:
        if self._complete:  # what comes now is the client's going away, and may take as long as it likes
            return await self._receive()
        message = await self._in_time()
        if message["type"] == "http.request":
            self._received += len(message.get("body", b""))
            self._complete = not message.get("more_body", False)
            if self._received > self._limit:
                raise _http(too_large(self._limit))
        return message

    async def _in_time(self) -> Message:
        deadline = min(asyncio.get_running_loop().time() + self._idle, self._end)
        try:
            async with asyncio.timeout_at(deadline):
                return await self._receive()
        except TimeoutError as error:
            # The rest may still come; nobody waits for it.
            close: dict[str, Any] = {"Connection": "close"}
            raise HTTPException(
                HTTPStatus.REQUEST_TIMEOUT, "The body of the request did not come in time.", close
            ) from error


def _framing_problem(scope: Scope) -> ProblemError | None:
    """Refuse bodies whose end two servers could see at two places (RFC 9112, 6.1 and 6.3): requests hide in them."""
    headers = Headers(scope=scope)
    chunked = "transfer-encoding" in headers
    if chunked and ("content-length" in headers or scope["http_version"] == "1.0"):
        close = {"Connection": "close"}
        return ProblemError(HTTPStatus.BAD_REQUEST, "The body's length is not clear.", headers=close)
    return None


def _http(problem: ProblemError) -> HTTPException:
    return HTTPException(problem.status, problem.detail)
