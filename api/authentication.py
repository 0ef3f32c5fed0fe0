"""Whose request it is: API keys checked against Postgres and remembered for a moment, requests and guesses counted."""

from dataclasses import dataclass
from http import HTTPStatus

from fastapi import Request
from prometheus_client import Counter
from starlette.concurrency import run_in_threadpool
from structlog.contextvars import bind_contextvars

from api.errors.problems import ProblemError
from api.key_ring import KeyRing
from api.requests.pace import Pace
from api.requests.quotas import address_of, count_guess, count_request, refuse_guesser
from api.requests.strict import refuse_unknown_query
from worker.database.api_keys import Principal, Scope
from worker.database.audit import Actor, Audit


@dataclass(frozen=True)
class Authentication:
    """Checks keys, and counts requests and guesses."""

    keys: KeyRing
    pace: Pace
    guesses: Pace
    failures: Counter
    audit: Audit

    async def check(self, request: Request, key: str | None, scope: Scope) -> Principal:
        """Return whose request this is.

        Raises:
            ProblemError: 401 without a good key, 403 when its scopes do not do, 422 for an unknown query parameter.
        """
        if not key:
            await count_guess(request, self.guesses)
            raise _unauthorized("No API key: send `Authorization: Bearer …` or `X-API-Key`.")
        principal = await self.principal_of(request, key)
        if principal is None:
            raise _unauthorized("This API key is unknown, expired or revoked.")
        bind_contextvars(api_key=principal.key_id)
        await count_request(request, self.pace, principal)
        if not principal.may(scope):
            raise ProblemError(HTTPStatus.FORBIDDEN, f"This API key lacks the scope `{scope}`.", missing_scope=scope)
        refuse_unknown_query(request)
        return principal

    async def principal_of(self, request: Request, key: str) -> Principal | None:
        """Return whose key this is; a wrong one is counted against the address that it comes from.

        Raises:
            ProblemError: 429, too many wrong keys came from there. A key that was good lately is looked up all the
                same, so strangers behind the same proxy cannot shut out a platform.
        """
        principal = self.keys.recall(key)
        if principal is None:
            if not self.keys.was_good(key):
                await refuse_guesser(request, self.guesses)
            principal = await run_in_threadpool(self.keys.look_up, key)
        if principal is None:
            self.failures.inc()
            await count_guess(request, self.guesses)
            return None
        await self.note_address(request, principal)
        return principal

    async def note_address(self, request: Request, principal: Principal) -> None:
        """Let the audit trail name the address that a key or its session comes from, where that is new."""
        address = address_of(request)
        if self.keys.is_new_address(principal.key_id, address):
            actor = Actor(principal.name, principal.key_id, request.state.request_id)
            target = f"api_key:{principal.key_id}"
            await run_in_threadpool(self.audit.note, actor, "api_key.use", target, address=address)


def _unauthorized(detail: str) -> ProblemError:
    return ProblemError(HTTPStatus.UNAUTHORIZED, detail, headers={"WWW-Authenticate": "Bearer"})
