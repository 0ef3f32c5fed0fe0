"""Scans: what waits and since when, what was rejected and why, what is dead and can be replayed."""

from datetime import timedelta
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from api import parts
from api.console.pages import ConsoleRoute, go, page
from api.console.visitor import HOME, Form, FromVisitor, Sends
from api.errors.problems import ProblemError
from api.requests.cursors import MAX_ID, decode_cursor, next_cursor
from worker.database.api_keys import Scope
from worker.database.tables import ScanState

router = APIRouter(prefix=f"{HOME}/scans", include_in_schema=False, route_class=ConsoleRoute)

_ON_A_PAGE = 50
_DAY = timedelta(hours=24)


@router.get("")
def show_scans(
    queries: parts.Queries,
    stats: parts.Stats,
    who: FromVisitor,
    *,
    state: ScanState = ScanState.DEAD,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
    notice: str | None = None,
) -> Response:
    """Show the queues and the scans of one state."""
    scans = queries.scans(state, limit=_ON_A_PAGE + 1, before=decode_cursor(cursor))
    return page(
        "scans",
        who,
        stats=stats(_DAY),
        state=state,
        states=list(ScanState),
        rows=scans[:_ON_A_PAGE],
        next_cursor=next_cursor([scan.id for scan, _ in scans], _ON_A_PAGE),
        notice=notice,
    )


@router.get("/figures")
def show_figures(stats: parts.Stats, who: FromVisitor) -> Response:
    """Return the figures alone, for a page that keeps itself up to date."""
    return page("scans_figures", who, stats=stats(_DAY))


@router.post("/replay")
def replay(dead_scans: parts.DeadScans, form: Annotated[Form, Depends(Sends(Scope.OPERATE))]) -> Response:
    """Queue dead scans again: those that were chosen."""
    chosen = [int(text) for text in form.several("scan") if text.isdecimal() and int(text) <= MAX_ID]
    replayed = [scan_id for scan_id in chosen if dead_scans.replay(form.visitor.actor, scan_id)]
    if not replayed:
        raise ProblemError(HTTPStatus.CONFLICT, "None of these scans is dead, so there is nothing to replay.")
    return go(f"{HOME}/scans", notice="replayed")
