"""Signing in and out: a key is shown once, a cookie stands for it until it is over or the key is."""

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from api import parts
from api.auth import principal_of
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
from worker.database.api_keys import Principal, Scope
from worker.database.audit import Actor
from worker.database.console_sessions import LIFE

router = APIRouter(prefix=HOME, include_in_schema=False, route_class=ConsoleRoute)


@router.get("/sign-in")
def show_sign_in(next: str | None = None, said: str | None = None) -> Response:  # noqa: A002 - the query's own name
    """Ask for a key."""
    return page("sign_in", None, wanted=safe_next(next), said=said, wrong=False)


@router.post("/sign-in")
async def sign_in(request: Request, console_sessions: parts.ConsoleSessions, audit: parts.Audit) -> Response:
    """Open a session for a good key; a wrong one is told so, and nothing else."""
    check_origin(request)
    form = await form_of(request)
    wanted = safe_next(str(form.get("next") or ""))
    key = str(form.get("key") or "").strip()
    principal = await principal_of(request, key) if key else None
    if principal is None or not principal.may(Scope.READ):
        return page("sign_in", None, 401, wanted=wanted, said=None, wrong=True)
    token = await run_in_threadpool(console_sessions.open, principal.key_id)
    actor = Actor(principal.name, principal.key_id, request.state.request_id)
    await run_in_threadpool(audit.note, actor, "console.sign_in", _target(principal))
    response = go(wanted)
    response.set_cookie(cookie_name(request), token, max_age=int(LIFE.total_seconds()), **cookie_terms(request))
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
    response = go(f"{HOME}/sign-in", said="signed_out")
    response.delete_cookie(cookie_name(request), **cookie_terms(request))
    return response


def _target(principal: Principal) -> str:
    return f"api_key:{principal.key_id}"
