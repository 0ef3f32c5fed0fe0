"""Who may do what: API keys from the request, checked against Postgres, remembered for a moment."""

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Protocol

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool
from structlog.contextvars import bind_contextvars

from api.errors.problems import ProblemError
from api.requests.quotas import address_of, count_guess, count_request, refuse_guesser
from api.requests.strict import refuse_unknown_query
from worker.database.api_keys import Principal, Scope, fingerprint
from worker.database.audit import Actor

# A revoked key works at most this long after; the README promises that it is refused within 5 s.
REMEMBER_SECONDS = 3.0
_MOST_REMEMBERED = 10_000

bearer_scheme = HTTPBearer(auto_error=False, description="An API key, `assay_…`.")
header_scheme = APIKeyHeader(
    name="X-API-Key", auto_error=False, description="The same key, for clients without Bearer."
)


class Verifies(Protocol):
    """What authentication needs of :class:`~worker.database.api_keys.ApiKeys`."""

    def verify(self, key: str) -> Principal | None:
        """Return whose key this is, or None."""


class KeyRing:
    """Remembers keys that were found good, so that most requests cost no query for theirs."""

    def __init__(
        self, keys: Verifies, *, seconds: float = REMEMBER_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._keys = keys
        self._seconds = seconds
        self._clock = clock
        # Only good keys are in here, so strangers cannot make it grow; and no more than are in use.
        self._remembered: dict[str, tuple[Principal, float]] = {}
        self._addresses: set[tuple[int, str]] = set()

    def remembered(self, key: str) -> Principal | None:
        """Return whose key this was found to be a moment ago, without asking Postgres."""
        principal, until = self._remembered.get(fingerprint(key), (None, 0.0))
        return principal if self._clock() < until else None

    def was_good(self, key: str) -> bool:
        """Tell whether this key was good when it was last looked up."""
        return fingerprint(key) in self._remembered

    def is_new_address(self, key_id: int, address: str) -> bool:
        """Tell whether a key comes from this address for the first time since this process started."""
        if (key_id, address) in self._addresses:
            return False
        if len(self._addresses) >= _MOST_REMEMBERED:
            self._addresses.clear()
        self._addresses.add((key_id, address))
        return True

    def look_up(self, key: str) -> Principal | None:
        """Ask Postgres whose key this is and remember a good one."""
        until = self._clock() + self._seconds
        principal = self._keys.verify(key)
        if principal:
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            self._remembered[fingerprint(key)] = (principal, until)
        else:
            self._remembered.pop(fingerprint(key), None)
        return principal


class Needs:
    """A dependency: the request shows a good key with this scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def __call__(
        self,
        request: Request,
        bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer_scheme)],
        header: Annotated[str | None, Depends(header_scheme)],
    ) -> Principal:
        """Return whose request this is.

        Raises:
            ProblemError: 401 without a good key, 403 when its scopes do not do, 422 for an unknown query parameter.
        """
        key = bearer.credentials if bearer else header
        if not key:
            await count_guess(request)
            raise _unauthorized("No API key: send `Authorization: Bearer …` or `X-API-Key`.")
        principal = await principal_of(request, key)
        if principal is None:
            raise _unauthorized("This API key is unknown, expired or revoked.")
        bind_contextvars(api_key=principal.key_id)
        await count_request(request, principal)
        if not principal.may(self._scope):
            raise ProblemError(
                HTTPStatus.FORBIDDEN, f"This API key lacks the scope `{self._scope}`.", missing_scope=self._scope
            )
        refuse_unknown_query(request)
        return principal


async def principal_of(request: Request, key: str) -> Principal | None:
    """Return whose key this is; a wrong one is counted against the address that it comes from.

    Raises:
        ProblemError: 429, too many wrong keys came from there. A key that was good lately is looked up all the same,
            so strangers behind the same proxy cannot shut out a platform.
    """
    services = request.app.state.services
    ring: KeyRing = services.keys
    principal = ring.remembered(key)
    if principal is None:
        if not ring.was_good(key):
            await refuse_guesser(request)
        principal = await run_in_threadpool(ring.look_up, key)
    if principal is None:
        services.failed_authentications.inc()
        await count_guess(request)
        return None
    address = address_of(request)
    if ring.is_new_address(principal.key_id, address):
        actor = Actor(principal.name, principal.key_id, request.state.request_id)
        await run_in_threadpool(
            services.stores.audit.note, actor, "api_key.use", f"api_key:{principal.key_id}", address=address
        )
    return principal


class Acts:
    """A dependency: as :class:`Needs`, and gives who acts, for the audit trail."""

    def __init__(self, scope: Scope) -> None:
        self._needs = Needs(scope)

    async def __call__(
        self,
        request: Request,
        bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer_scheme)],
        header: Annotated[str | None, Depends(header_scheme)],
    ) -> Actor:
        """Return who acts; raises as :meth:`Needs.__call__`."""
        principal = await self._needs(request, bearer, header)
        return Actor(principal.name, principal.key_id, request.state.request_id, principal.may(Scope.DELEGATE))


Reviewer = Annotated[Actor, Depends(Acts(Scope.REVIEW))]
Admin = Annotated[Actor, Depends(Acts(Scope.ADMIN))]
Ingester = Annotated[Actor, Depends(Acts(Scope.INGEST))]


def _unauthorized(detail: str) -> ProblemError:
    return ProblemError(HTTPStatus.UNAUTHORIZED, detail, headers={"WWW-Authenticate": "Bearer"})
