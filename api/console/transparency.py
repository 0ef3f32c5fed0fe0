"""The transparency report as a page, made to be printed."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query, Response

from api import parts
from api.console.pages import ConsoleRoute, page
from api.console.visitor import HOME, FromVisitor, check_scope
from api.routes.transparency import TransparencyReport, moments
from worker.database.api_keys import Scope

router = APIRouter(prefix=f"{HOME}/transparency", include_in_schema=False, route_class=ConsoleRoute)


@router.get("")
def show_transparency(
    transparency: parts.Transparency,
    now: parts.Now,
    who: FromVisitor,
    since: Annotated[date | None, Query(alias="from")] = None,
    until: Annotated[date | None, Query(alias="to")] = None,
) -> Response:
    """Show the report of a period; of this year so far where none is named."""
    check_scope(who, Scope.READ)
    today = now().date()
    since = since or date(today.year, 1, 1)
    until = until or date(today.year + 1, 1, 1)
    report = TransparencyReport.of(since, until, now(), transparency.figures(*moments(since, until)))
    return page("transparency", who, report=report)
