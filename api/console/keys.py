"""Keys and people: who may do what, made, rotated, revoked and locked out by whoever operates Assay."""

from collections.abc import Collection
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response

from api import parts
from api.console.administration import Operator
from api.console.pages import ConsoleRoute, go, page
from api.console.visitor import HOME, Form, Sends, Visitor, check_scope
from api.errors.problems import ProblemError
from api.requests.cursors import MAX_ID
from worker.database.api_keys import NewKey, Scope

router = APIRouter(prefix=HOME, include_in_schema=False, route_class=ConsoleRoute)

RowId = Annotated[int, Path(ge=1, le=MAX_ID)]
_ByOperator = Annotated[Form, Depends(Sends(Scope.OPERATE))]
_KEPT = timedelta(hours=24)
_MOST_DAYS = 3650


@router.get("/keys")
def show_keys(
    api_keys: parts.ApiKeys, people: parts.People, now: parts.Now, who: Operator, notice: str | None = None
) -> Response:
    """List keys and people: who may do what, and who last did."""
    return _keys_page(api_keys, people, now(), who, notice=notice)


@router.post("/keys")
def make_key(api_keys: parts.ApiKeys, people: parts.People, now: parts.Now, form: _ByOperator) -> Response:
    """Make a key; the page shows it this once."""
    name = form.needed("name")
    scopes = [scope for scope in form.several("scope") if scope in set(Scope)]
    if not scopes or len(name) > 100:  # noqa: PLR2004 - what a table shows
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "scope: tick at least one; name: at most 100 characters")
    _check_own(form, scopes)
    made = api_keys.create(name, [Scope(scope) for scope in scopes], _end_of(form, now()), actor=form.visitor.actor)
    return _keys_page(api_keys, people, now(), form.visitor, made=made)


@router.post("/keys/{key_id}/rotate")
def rotate_key(
    key_id: RowId, api_keys: parts.ApiKeys, people: parts.People, now: parts.Now, form: _ByOperator
) -> Response:
    """Make a key in place of another, which works for a day more; the page shows it this once."""
    _check_own(form, next((key.scopes for key in api_keys.list() if key.id == key_id), ()))
    made = api_keys.rotate(key_id, keep=_KEPT, actor=form.visitor.actor)
    if made is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "There is no key of this id that still works.")
    return _keys_page(api_keys, people, now(), form.visitor, made=made)


@router.post("/keys/{key_id}/revoke")
def revoke_key(key_id: RowId, api_keys: parts.ApiKeys, form: _ByOperator) -> Response:
    """Refuse a key, or lock a person out, from now on; their sessions end at once."""
    if key_id == form.visitor.principal.key_id:
        raise ProblemError(HTTPStatus.CONFLICT, "You are signed in with this one. Somebody else can revoke it.")
    if not api_keys.revoke(key_id, actor=form.visitor.actor):
        raise ProblemError(HTTPStatus.NOT_FOUND, "There is no key or person of this id that may still sign in.")
    return go(f"{HOME}/keys", notice="revoked")


@router.post("/people/{person_id}/let-in")
def let_in(person_id: RowId, people: parts.People, form: _ByOperator) -> Response:
    """Let a person in again who was locked out."""
    if not people.let_in(person_id, actor=form.visitor.actor):
        raise ProblemError(HTTPStatus.NOT_FOUND, "There is no person of this id who is locked out.")
    return go(f"{HOME}/keys", notice="let_in")


def _end_of(form: Form, now: datetime) -> datetime | None:
    days = form.text("days", most=6)
    if not days:
        return None
    if not days.isdecimal() or not 0 < int(days) <= _MOST_DAYS:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, f"days: give 1 to {_MOST_DAYS}, or nothing for no end")
    return now + timedelta(days=int(days))


def _check_own(form: Form, scopes: Collection[str]) -> None:
    """Refuse to give away what the visitor does not have; raises a ProblemError, 403."""
    for scope in scopes:
        check_scope(form.visitor, Scope(scope))


def _keys_page(
    api_keys: parts.ApiKeys,
    people: parts.People,
    now: datetime,
    who: Visitor,
    *,
    made: NewKey | None = None,
    notice: str | None = None,
) -> Response:
    scopes = [scope for scope in Scope if who.may(scope)]
    keys, registered = api_keys.list(), people.list()
    return page("keys", who, now=now, keys=keys, people=registered, scopes=scopes, made=made, notice=notice)
