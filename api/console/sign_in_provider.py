"""Signing in through the platform's identity provider: there with a state, back with a code."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from api import parts
from api.console.pages import ConsoleRoute, go, page
from api.console.visitor import HOME, cookie_name, cookie_terms, safe_next
from api.errors.problems import ProblemError
from api.identity import IdentityProvider, NotSignedInError, ProviderDownError
from api.requests.quotas import count_guess, refuse_guesser
from worker.database.people import Identity, LockedOutError
from worker.database.sign_ins import LIFE
from worker.person_role import role_in

router = APIRouter(prefix=f"{HOME}/sign-in", include_in_schema=False, route_class=ConsoleRoute)

_COOKIE = "sign_in"
_Answer = Annotated[str, Query(max_length=4096)]


async def _with_pace(request: Request, guesses: parts.GuessPace) -> None:
    """Count beginnings by their address: each leaves a row for ten minutes."""
    await refuse_guesser(request, guesses)
    await count_guess(request, guesses)


@router.get("/provider")
async def begin(
    request: Request,
    provider: parts.Provider,
    sign_ins: parts.SignIns,
    guesses: parts.GuessPace,
    next: str | None = None,  # noqa: A002 - the query's own name
) -> Response:
    """Send the browser to the provider."""
    await _with_pace(request, guesses)
    return await run_in_threadpool(_begin, request, _needed(provider), sign_ins, safe_next(next))


def _begin(request: Request, provider: IdentityProvider, sign_ins: Any, next_page: str) -> Response:
    begun = sign_ins.begin(str(request.url_for("finish")), next_page)
    try:
        address = provider.address(
            redirect_uri=begun.redirect_uri, state=begun.state, nonce=begun.nonce, verifier=begun.verifier
        )
    except ProviderDownError as error:
        raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, error.detail) from error
    response = RedirectResponse(address, HTTPStatus.SEE_OTHER, {"Cache-Control": "no-store"})
    terms = cookie_terms(request)
    response.set_cookie(_name(request), begun.browser, max_age=int(LIFE.total_seconds()), **terms)
    return response


@router.get("/callback")
def finish(  # noqa: PLR0917 - what the provider sends, and what checks it
    request: Request,
    provider: parts.Provider,
    sign_ins: parts.SignIns,
    people: parts.People,
    console_sessions: parts.ConsoleSessions,
    state: _Answer = "",
    code: _Answer = "",
    error: _Answer = "",
) -> Response:
    """Open a session for whom the provider names."""
    provider = _needed(provider)
    begun = sign_ins.end(state, request.cookies.get(_name(request), ""))
    if begun is None:
        return _refused("This sign-in was begun elsewhere or long ago. Begin again.")
    if error or not code:
        return _refused("The identity provider signed nobody in. Begin again.")
    try:
        claims = provider.claims(code=code, redirect_uri=begun.redirect_uri, nonce=begun.nonce, verifier=begun.verifier)
    except NotSignedInError as not_good:
        return _refused(not_good.detail)
    except ProviderDownError as down:
        raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, down.detail) from down
    role = role_in(claims, provider.terms.role_claim, provider.terms.roles)
    if role is None:
        return _refused("Your account has no role in Assay. Ask whoever runs it to give you one.", HTTPStatus.FORBIDDEN)
    identity = Identity(str(claims["iss"]), str(claims["sub"]), _name_in(claims), role)
    try:
        principal = people.sign_in(identity, request.state.request_id)
    except LockedOutError as locked_out:
        return _refused(locked_out.detail, HTTPStatus.FORBIDDEN)
    response = go(begun.next_page)
    life = int(console_sessions.life.total_seconds())
    token = console_sessions.open(principal.key_id)
    response.set_cookie(cookie_name(request), token, max_age=life, **cookie_terms(request))
    response.delete_cookie(_name(request), **cookie_terms(request))
    return response


def _name(request: Request) -> str:
    return f"{cookie_name(request)}_{_COOKIE}"


def _name_in(claims: Any) -> str:
    """Return a shown name: what people are called, else their address, else the provider's own name for them."""
    names = (claims.get(name) for name in ("name", "preferred_username", "email", "sub"))
    return next(str(name).strip() for name in names if name and str(name).strip())


def _needed(provider: IdentityProvider | None) -> IdentityProvider:
    if provider is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "No identity provider is set up here; sign in with a key.")
    return provider


def _refused(detail: str, status: int = HTTPStatus.BAD_REQUEST) -> Response:
    """Show the sign-in with what went wrong; nothing of the provider's own words, which strangers may have written."""
    return page("sign_in", None, status, next_page=HOME, notice=None, wrong=False, trouble=detail, provider=True)
