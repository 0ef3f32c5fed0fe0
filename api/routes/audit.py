"""The audit trail: who changed what, when, by which request."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from api import parts
from api.auth import Needs
from api.errors.problems import problems
from api.requests.cursors import Cursor, Limit, decode_cursor, next_cursor
from api.schemas.scans import FromRow
from worker.database.api_keys import Scope

router = APIRouter(prefix="/v1/audit", tags=["audit"], responses=problems())

Exactly = Annotated[str | None, Query(max_length=200)]


class EntryOut(FromRow):
    """A change; images are named by their row, so that an erased one is not named for ever."""

    id: int
    actor: str
    api_key_id: int | None
    action: str
    target: str
    detail: dict[str, Any]
    request_id: str | None
    created_at: datetime


class Trail(BaseModel):
    """A page of the trail, newest first."""

    items: list[EntryOut]
    next_cursor: str | None


@router.get("", dependencies=[Depends(Needs(Scope.AUDIT))])
def read_audit_trail(
    audit: parts.Audit, action: Exactly = None, target: Exactly = None, limit: Limit = 50, cursor: Cursor = None
) -> Trail:
    """Read the trail, newest first; `action` such as `label.add`, `target` such as `image:7`."""
    before = decode_cursor(cursor)
    entries = audit.page(limit=limit + 1, before=before, action=action, target=target)
    return Trail(
        items=[EntryOut.model_validate(entry) for entry in entries[:limit]],
        next_cursor=next_cursor([entry.id for entry in entries], limit),
    )
