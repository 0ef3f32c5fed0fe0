"""`Idempotency-Key`: a request that is sent again is answered again, not done again.

A route that takes part is of the class :class:`OnceRoute` and names who acts
by :class:`Once`. The key is claimed before the route runs and the answer is
kept after it, all in one transaction with what the route does; an error undoes
it and gives the key free again.
"""

import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from typing import Annotated, Any

from anyio import CancelScope
from fastapi import Depends, FastAPI, Header, Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool

from api import parts
from api.auth import Acts, ShownKey
from api.errors.catalogue import ErrorCode
from api.errors.problems import InvalidError, ProblemError
from worker.database.api_keys import Scope
from worker.database.audit import Actor
from worker.database.idempotency import Answer, Claim, Idempotency, RequestClaim

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
_VALID = re.compile(r"[\x21-\x7e]{1,255}")
_KEPT_HEADERS = ("content-type", "location", "etag", "warning", "deprecation", "link")


class Replay(Exception):  # noqa: N818 - no error: it carries an answer past the route.
    """This request was answered before."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


@dataclass(frozen=True)
class IdempotencyKey:
    """A key that a request brings, and where it is claimed."""

    text: str
    table: Idempotency

    async def claim(self, request: Request, actor: Actor, content: bytes) -> None:
        """Claim the key for this request.

        Raises:
            Replay: it was answered before.
            ProblemError: 422 for a key that cannot be or was used for something
                else, 409 while the first request is being served.
        """
        if not _VALID.fullmatch(self.text):
            raise InvalidError("header", HEADER, "must be 1 to 255 visible ASCII characters")
        if actor.api_key_id is None:
            raise RuntimeError("only requests with a key reach this")
        request_bytes = f"{request.method} {request.url.path}?{request.url.query}\n".encode() + content
        digest = sha256(request_bytes).hexdigest()
        earlier = await run_in_threadpool(self.table.claim, actor.api_key_id, self.text, digest)
        if isinstance(earlier, Answer):
            raise Replay(earlier)
        if earlier is Claim.RUNNING:
            raise ProblemError(
                HTTPStatus.CONFLICT,
                "A request with this idempotency key is being served.",
                code=ErrorCode.STILL_RUNNING,
                headers={"Retry-After": "1"},
            )
        if earlier is Claim.OTHER:
            raise ProblemError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "This idempotency key was used for another request.",
                code=ErrorCode.KEY_REUSED,
            )
        request.state.claimed = earlier
        earlier.join()


async def idempotency_key(
    table: parts.Idempotency,
    key: Annotated[
        str | None,
        Header(
            alias=HEADER, description="Any name of your own for this request; sent again within a day it is done once."
        ),
    ] = None,
) -> IdempotencyKey | None:
    """Return the key that a request brings, None where it brings none."""
    return None if key is None else IdempotencyKey(key, table)


OnceKey = Annotated[IdempotencyKey | None, Depends(idempotency_key)]


class Once:
    """A dependency: as :class:`~api.auth.Acts`, for a request whose body FastAPI has read."""

    def __init__(self, scope: Scope) -> None:
        self._acts = Acts(scope)

    async def __call__(
        self,
        request: Request,
        shown_key: ShownKey,
        checks: parts.Authentication,
        key: OnceKey,
    ) -> Actor:
        """Return who acts, once the key is claimed."""
        actor = await self._acts(request, shown_key, checks)
        if key is not None:
            await key.claim(request, actor, await request.body())
        return actor


class OnceRoute(APIRoute):
    """A route that keeps what it answered to a claimed request."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler."""
        handler = super().get_route_handler()

        async def served(request: Request) -> Response:
            try:
                response = await handler(request)
            except BaseException:
                await _settle(request, None)
                raise
            await _settle(request, response)
            return response

        return served


async def _settle(request: Request, response: Response | None) -> None:
    claimed: RequestClaim | None = getattr(request.state, "claimed", None)
    if claimed is None:
        return
    claimed.leave()
    with CancelScope(shield=True):  # a client that is gone leaves no transaction open
        if response is None or response.status_code >= HTTPStatus.BAD_REQUEST:
            await run_in_threadpool(claimed.release)
            return
        headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
        await run_in_threadpool(claimed.answer, Answer(response.status_code, headers, bytes(response.body)))


def install(app: FastAPI) -> None:
    """Let the app answer with what it answered before."""
    app.add_exception_handler(Replay, _on_replay)


async def _on_replay(_request: Request, replay: Exception) -> Response:
    assert isinstance(replay, Replay)  # noqa: S101 - Starlette's handlers are typed for any exception.
    answer = replay.answer
    return Response(answer.body, answer.status, {**answer.headers, REPLAYED: "true"})
