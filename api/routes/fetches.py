"""Fetches: files that a platform named by their address, and what became of them."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field

from api import parts
from api.auth import Needs
from api.errors.problems import WITH_BODY, ProblemError, problems
from api.requests.cursors import MAX_ID, Cursor, Limit, decode_cursor, next_cursor
from api.requests.idempotency import Once, OnceRoute
from api.schemas.scans import FromRow
from worker.database.api_keys import Scope
from worker.database.audit import Actor
from worker.database.fetches import NotFailedError
from worker.database.tables import Fetch
from worker.decisions.fetching import FetchReason, FetchState
from worker.decisions.priority import Priority

router = APIRouter(prefix="/v1/fetches", tags=["fetches"], responses=problems(), route_class=OnceRoute)

FetchId = Annotated[int, Path(ge=1, le=MAX_ID)]
_may_read = Depends(Needs(Scope.READ))


class FetchOut(FromRow):
    """A file that was named by its address."""

    id: int
    image_id: str
    source: str | None
    url: str
    priority: Priority
    state: FetchState = Field(description="`done`: the file lies in the upload bucket, and its image is registered.")
    reason: FetchReason | None = Field(
        description="Why it has `failed`. `unreachable`: after six attempts within three quarters of an hour."
    )
    detail: str | None = Field(description="What the last attempt met, in a few words.")
    attempts: int
    due_at: datetime | None = Field(description="When it is tried next, or given to another worker.")
    created_at: datetime
    finished_at: datetime | None


class FetchList(BaseModel):
    """A page of fetches, newest first."""

    items: list[FetchOut]
    next_cursor: str | None


@router.get("", dependencies=[_may_read])
def list_fetches(
    fetches: parts.Fetches,
    state: Annotated[FetchState, Query(description="Where they stand.")] = FetchState.FAILED,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> FetchList:
    """List fetches of one state, newest first; those that ended are kept for `delivery_days` of retention."""
    rows = fetches.page(state, limit=limit + 1, before=decode_cursor(cursor))
    return FetchList(
        items=[FetchOut.model_validate(one) for one in rows[:limit]],
        next_cursor=next_cursor([one.id for one in rows], limit),
    )


@router.get("/{fetch_id}", responses=problems(404), dependencies=[_may_read])
def get_fetch(fetch_id: FetchId, fetches: parts.Fetches) -> FetchOut:
    """Return one fetch."""
    return FetchOut.model_validate(_existing(fetches.get(fetch_id)))


@router.post("/{fetch_id}/replay", status_code=HTTPStatus.ACCEPTED, responses=problems(404, 409, *WITH_BODY))
def replay_fetch(
    fetch_id: FetchId, fetches: parts.Fetches, actor: Annotated[Actor, Depends(Once(Scope.INGEST))]
) -> FetchOut:
    """Fetch a file again that could not be had, with all attempts."""
    try:
        return FetchOut.model_validate(_existing(fetches.replay(actor, fetch_id)))
    except NotFailedError as error:
        raise ProblemError(HTTPStatus.CONFLICT, error.detail) from error


def _existing(fetch: Fetch | None) -> Fetch:
    if fetch is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "There is no fetch of this id; those that ended long ago are dropped.")
    return fetch
