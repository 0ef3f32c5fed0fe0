"""Scans: list them by state, replay the dead."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Path

from api.auth import Admin, Needs
from api.cursors import MAX_ID, Cursor, Limit, decode_cursor, next_cursor
from api.problems import RESPONSES, ProblemError
from api.schemas import ListedScan, Scans
from api.services import FromApp
from worker.store.api_keys import Scope
from worker.store.tables import ScanState

router = APIRouter(prefix="/v1/scans", tags=["scans"], responses=RESPONSES)

ScanId = Annotated[int, Path(ge=1, le=MAX_ID)]


@router.get("", dependencies=[Depends(Needs(Scope.READ))])
def list_scans(state: ScanState, services: FromApp, limit: Limit = 50, cursor: Cursor = None) -> Scans:
    """List scans of one state, newest first."""
    rows = services.queries.scans(state, limit=limit + 1, before=decode_cursor(cursor))
    return Scans(
        items=[ListedScan.of(scan, image) for scan, image in rows[:limit]],
        next_cursor=next_cursor([scan.id for scan, _ in rows], limit),
    )


@router.post("/{scan_id}/replay", status_code=HTTPStatus.ACCEPTED)
def replay_scan(scan_id: ScanId, services: FromApp, actor: Admin) -> ListedScan:
    """Queue a dead scan again, with all its attempts."""
    replayed = services.stores.rescans.replay(actor, scan_id)
    found = services.queries.scan(scan_id)
    if found is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "There is no scan of this id.")
    if not replayed:
        raise ProblemError(HTTPStatus.CONFLICT, f"Only dead scans are replayed; this one is {found[0].state}.")
    return ListedScan.of(*found)
