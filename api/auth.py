"""Who may do what: API keys from the request, checked against Postgres, remembered for a moment."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool
from structlog.contextvars import bind_contextvars

from api import parts
from api.errors.problems import ProblemError
from api.requests.quotas import address_of, count_guess, count_request, refuse_guesser
from api.requests.strict import refuse_unknown_query
from worker.database.api_keys import Principal, Scope
from worker.database.audit import Actor

_bearer_scheme = HTTPBearer(auto_error=False, description="An API key, `assay_…`.")
_header_scheme = APIKeyHeader(
    name="X-API-Key", auto_error=False, description="The same key, for clients without Bearer."
)


async def shown_key(
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer_scheme)],
    header: Annotated[str | None, Depends(_header_scheme)],
) -> str | None:
    """Return the key that a request shows, in either header."""
    return bearer.credentials if bearer else header


ShownKey = Annotated[str | None, Depends(shown_key)]


@dataclass(frozen=True)
class Authentication:
    """Checks keys, and counts requests and guesses."""

    keys: parts.Keys
    pace: parts.RequestPace
    guesses: parts.GuessPace
    failures: parts.FailedAuthentications
    audit: parts.Audit

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


async def authentication(
    keys: parts.Keys,
    pace: parts.RequestPace,
    guesses: parts.GuessPace,
    failures: parts.FailedAuthentications,
    audit: parts.Audit,
) -> Authentication:
    """Return what checks keys, with the app's own parts."""
    return Authentication(keys, pace, guesses, failures, audit)


ChecksKeys = Annotated[Authentication, Depends(authentication)]


class Needs:
    """A dependency: the request shows a good key with this scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def __call__(self, request: Request, key: ShownKey, checks: ChecksKeys) -> Principal:
        """Return whose request this is; raises as :meth:`Authentication.check`."""
        return await checks.check(request, key, self._scope)


class Acts:
    """A dependency: as :class:`Needs`, and gives who acts, for the audit trail."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def __call__(self, request: Request, key: ShownKey, checks: ChecksKeys) -> Actor:
        """Return who acts; raises as :meth:`Authentication.check`."""
        principal = await checks.check(request, key, self._scope)
        rights = {"delegates": principal.may(Scope.DELEGATE), "hurries": principal.may(Scope.PRIORITY)}
        return Actor(principal.name, principal.key_id, request.state.request_id, **rights)


Reviewer = Annotated[Actor, Depends(Acts(Scope.REVIEW))]
Operator = Annotated[Actor, Depends(Acts(Scope.OPERATE))]
Ingester = Annotated[Actor, Depends(Acts(Scope.INGEST))]


def _unauthorized(detail: str) -> ProblemError:
    return ProblemError(HTTPStatus.UNAUTHORIZED, detail, headers={"WWW-Authenticate": "Bearer"})
