"""Signing in and out: a key is shown once, a cookie stands for it until it is over or the key is."""

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from api import parts
from api.console.pages import ConsoleRoute, go, page
from api.console.visitor import (
    HOME,
    FromVisitor,
    check_origin,
    check_token,
    cookie_name,
    cookie_terms,
    form_of,
    safe_next,
)
from api.identity import IdentityProvider
from worker.database.api_keys import Principal, Scope
from worker.database.audit import Actor

router = APIRouter(prefix=HOME, include_in_schema=False, route_class=ConsoleRoute)


@router.get("/sign-in")
def show_sign_in(
    provider: parts.Provider,
    next: str | None = None,  # noqa: A002 - the query's own name
    notice: str | None = None,
) -> Response:
    """Ask for a key, or send to the identity provider."""
    return _page(provider, 200, next_page=safe_next(next), notice=notice)


@router.post("/sign-in")
async def sign_in(
    request: Request,
    console_sessions: parts.ConsoleSessions,
    audit: parts.Audit,
    checks: parts.Authentication,
    provider: parts.Provider,
) -> Response:
    """Open a session for a good key; a wrong one is told so, and nothing else."""
    check_origin(request)
    form = await form_of(request)
    next_page = safe_next(str(form.get("next") or ""))
    key = str(form.get("key") or "").strip()
    principal = await checks.principal_of(request, key) if key else None
    if principal is None or not principal.may(Scope.READ):
        return _page(provider, 401, next_page=next_page, wrong=True)
    token = await run_in_threadpool(console_sessions.open, principal.key_id)
    actor = Actor(principal.name, principal.key_id, request.state.request_id)
    await run_in_threadpool(audit.note, actor, "console.sign_in", _target(principal))
    response = go(next_page)
    response.set_cookie(
        cookie_name(request), token, max_age=int(console_sessions.life.total_seconds()), **cookie_terms(request)
    )
    return response


@router.post("/sign-out")
async def sign_out(
    request: Request, console_sessions: parts.ConsoleSessions, audit: parts.Audit, who: FromVisitor
) -> Response:
    """End the session."""
    check_origin(request)
    check_token(who, str((await form_of(request)).get("csrf") or ""))
    await run_in_threadpool(console_sessions.close, who.token)
    note = audit.note
    await run_in_threadpool(note, who.actor, "console.sign_out", _target(who.principal))
    response = go(f"{HOME}/sign-in", notice="signed_out")
    response.delete_cookie(cookie_name(request), **cookie_terms(request))
    return response


def _page(
    provider: IdentityProvider | None, status: int, *, next_page: str, notice: str | None = None, wrong: bool = False
) -> Response:
    shown = {
        "next_page": next_page,
        "notice": notice,
        "wrong": wrong,
        "trouble": None,
        "provider": provider is not None,
    }
    return page("sign_in", None, status, **shown)


def _target(principal: Principal) -> str:
    return f"api_key:{principal.key_id}"
