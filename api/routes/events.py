"""Events of S3-compatible stores, as they post them: MinIO and its kin, RustFS, Ceph RGW, SNS.

The store is answered only after commit; whatever keeps us from that becomes a
503, so that the store posts the event again.
"""

import json
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from api import parts
from api.auth import Ingester
from api.errors.problems import WITH_BODY, ProblemError, problems
from api.requests.bodies import read_body
from api.schemas.images import EventsTaken
from worker.database.audit import Actor
from worker.ingest.events import UnknownEventError, parse_events
from worker.log import get_logger

log = get_logger()

router = APIRouter(prefix="/v1/events", tags=["events"], responses=problems(*WITH_BODY))

# A record has about a thousand bytes, and stores send one to a few of them.
MAX_EVENT_BYTES = 1024 * 1024
MAX_RECORDS = 200
_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
}


@router.post(
    "/s3",
    response_model=EventsTaken,
    responses={204: {"description": "A test event, or one of no created object"}},
    openapi_extra=_BODY,
)
async def post_s3_event(
    request: Request, budget: parts.Budget, register: parts.Register, audit: parts.Audit, actor: Ingester
) -> EventsTaken | Response:
    """Take an event of created objects; answered once their images and scans are committed."""
    with budget.hold() as held:
        body = await read_body(request, MAX_EVENT_BYTES, held)
        taken = await run_in_threadpool(_take, body, register, audit, actor)
    return taken or Response(status_code=HTTPStatus.NO_CONTENT)


def _take(body: bytes, register: parts.Register, audit: parts.Audit, actor: Actor) -> EventsTaken | None:
    try:
        json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ProblemError(HTTPStatus.BAD_REQUEST, "The body is not JSON.") from error
    try:
        arrived = parse_events(body)
    except UnknownEventError as error:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, f"No event that Assay knows: {error}.") from error
    if len(arrived) > MAX_RECORDS:
        raise ProblemError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"{len(arrived)} records in one event; send at most {MAX_RECORDS}.",
            limit_records=MAX_RECORDS,
        )
    if not arrived:
        return None
    intake = register.take_many(arrived)
    registered = len(intake.registered)
    audit.note(actor, "event.take", "images", registered=registered, refused=intake.refused)
    if intake.refused:
        log.warning("event_refused", buckets=sorted({created.bucket for created in arrived}), refused=intake.refused)
    return EventsTaken(registered=registered, refused=intake.refused, missing=intake.missing)
