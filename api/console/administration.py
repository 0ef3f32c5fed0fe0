"""What admins and auditors look at: the audit trail; and who may look."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from api import parts
from api.console.pages import ConsoleRoute, page
from api.console.visitor import HOME, FromVisitor, Visitor, check_scope
from api.requests.cursors import decode_cursor, next_cursor
from worker.database.api_keys import Scope

router = APIRouter(prefix=HOME, include_in_schema=False, route_class=ConsoleRoute)

_ON_A_PAGE = 50


def _operator(who: FromVisitor) -> Visitor:
    check_scope(who, Scope.OPERATE)
    return who


def _auditor(who: FromVisitor) -> Visitor:
    check_scope(who, Scope.AUDIT)
    return who


Operator = Annotated[Visitor, Depends(_operator)]


@router.get("/audit")
def show_trail(
    audit: parts.Audit,
    who: Annotated[Visitor, Depends(_auditor)],
    cursor: Annotated[str | None, Query(max_length=64)] = None,
    action: Annotated[str, Query(max_length=100)] = "",
    target: Annotated[str, Query(max_length=100)] = "",
) -> Response:
    """Show who changed what."""
    terms = {"action": action.strip(), "target": target.strip()}
    terms_given = {name: value or None for name, value in terms.items()}
    entries = audit.page(limit=_ON_A_PAGE + 1, before=decode_cursor(cursor), **terms_given)
    return page(
        "audit",
        who,
        entries=entries[:_ON_A_PAGE],
        terms=terms,
        next_cursor=next_cursor([entry.id for entry in entries], _ON_A_PAGE),
    )
