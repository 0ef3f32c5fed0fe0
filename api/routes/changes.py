"""Changes: the feed of what happens, in order, for those who want no webhooks."""

from collections.abc import Sequence
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from api import parts
from api.answers.waiting import LONGEST_SECONDS
from api.auth import Needs
from api.errors.catalogue import ErrorCode
from api.errors.problems import ProblemError, problems
from api.requests.cursors import Cursor, Limit, decode_cursor, encode_cursor
from worker.database.api_keys import Scope
from worker.database.changes import ChangePage, ExpiredError
from worker.database.webhook_endpoints import Event

router = APIRouter(prefix="/v1/changes", tags=["changes"], responses=problems(410))


class Start(StrEnum):
    """Where to begin without a cursor."""

    OLDEST = "oldest"
    NEWEST = "newest"


class ChangeOut(BaseModel):
    """Something that happened, as a webhook of the same type tells it."""

    number: int = Field(description="Its place in the feed; higher ones happened, or were committed, later.")
    type: Event
    timestamp: str = Field(description="When it happened, RFC 3339.")
    data: dict[str, Any] = Field(description="As in the webhook; `recommended_action` is that of now.")


class ChangesOut(BaseModel):
    """Some of the feed, oldest first."""

    items: list[ChangeOut]
    next_cursor: str = Field(description="Where to go on, always; keep it once you have acted on the items.")
    more: bool = Field(description="Whether a further page is there already.")


@router.get("", dependencies=[Depends(Needs(Scope.READ))])
async def list_changes(  # noqa: PLR0917 - parameters of the query
    request: Request,
    changes: parts.Changes,
    waiting: parts.Waiting,
    start: Annotated[Start, Query(description="Where to begin without a cursor.")] = Start.OLDEST,
    event: Annotated[Sequence[Event], Query(description="Only these kinds; may be given several times.")] = (),
    limit: Limit = 50,
    cursor: Cursor = None,
    wait: Annotated[
        int, Query(ge=0, le=LONGEST_SECONDS, description="Seconds to wait for a change, if there is none yet.")
    ] = 0,
) -> ChangesOut:
    """Read what happened since a cursor, oldest first and nothing left out; kept for `delivery_days` of retention.

    A change is in the feed within about two seconds. One of an image that was
    erased since is left out. A cursor that is too old answers 410.
    """
    after = decode_cursor(cursor)
    if after is None and start is Start.NEWEST:
        after = await run_in_threadpool(changes.newest)

    def look_now() -> ChangePage:
        return changes.page(after, limit=limit, events=event)

    async def look() -> ChangePage:
        return await run_in_threadpool(look_now)

    try:
        page = await waiting.until(look, _is_enough, seconds=wait, has_gone=request.is_disconnected)
    except ExpiredError as error:
        detail = f"{error.detail} Begin anew with `start=newest`, and reconcile by `/v1/verdicts?since=`."
        raise ProblemError(HTTPStatus.GONE, detail, code=ErrorCode.CURSOR_EXPIRED) from error
    items = [ChangeOut(number=number, **content) for number, content in page.items]
    return ChangesOut(items=items, next_cursor=encode_cursor(page.last), more=page.more)


def _is_enough(page: ChangePage) -> bool:
    return bool(page.items) or page.more
