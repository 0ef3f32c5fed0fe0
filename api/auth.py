"""Who may do what: the scope that each route needs, of the API key that a request shows."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from api import parts
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


class Needs:
    """A dependency: the request shows a good key with this scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def __call__(self, request: Request, key: ShownKey, checks: parts.Authentication) -> Principal:
        """Return whose request this is; raises as :meth:`~api.authentication.Authentication.check`."""
        return await checks.check(request, key, self._scope)


class Acts:
    """A dependency: as :class:`Needs`, and gives who acts, for the audit trail."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def __call__(self, request: Request, key: ShownKey, checks: parts.Authentication) -> Actor:
        """Return who acts; raises as :meth:`~api.authentication.Authentication.check`."""
        principal = await checks.check(request, key, self._scope)
        rights = {"delegates": principal.may(Scope.DELEGATE), "hurries": principal.may(Scope.PRIORITY)}
        return Actor(principal.name, principal.key_id, request.state.request_id, **rights)


Reviewer = Annotated[Actor, Depends(Acts(Scope.REVIEW))]
Operator = Annotated[Actor, Depends(Acts(Scope.OPERATE))]
Ingester = Annotated[Actor, Depends(Acts(Scope.INGEST))]
