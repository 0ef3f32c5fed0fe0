"""Scans: request them, list them by state, replay the dead."""

from http import HTTPStatus
from typing import Annotated, Self

from fastapi import APIRouter, Depends, Path, Response
from pydantic import BaseModel, Field, model_validator

from api import parts
from api.auth import Needs, Operator
from api.errors.problems import WITH_BODY, InvalidError, ProblemError, problems
from api.requests.cursors import MAX_ID, Cursor, Limit, decode_cursor, encode_cursor, next_cursor
from api.requests.idempotency import Once, OnceRoute
from api.requests.strict import StrictBody
from api.requests.texts import Line, Name
from api.schemas.scans import ListedScan, Scans
from worker.database.api_keys import Scope
from worker.database.audit import Actor
from worker.database.promotion import UnknownBundleError
from worker.database.rescans import NeverPromotedError, NoChampionError, RescanOutcome, WithdrawnBundleError
from worker.database.tables import ScanState

router = APIRouter(prefix="/v1/scans", tags=["scans"], responses=problems(), route_class=OnceRoute)

ScanId = Annotated[int, Path(ge=1, le=MAX_ID)]
_MOST_IMAGES = 1000
# RFC 9745: since 2026-11-29 a prefix is a filter of `/v1/rescans`.
_DEPRECATED = {"Deprecation": "@1795910400", "Link": '</v1/rescans>; rel="successor-version"'}


class Under(StrictBody):
    """All images whose keys begin so; an empty prefix is the whole bucket."""

    bucket: Name
    prefix: Annotated[str, Field(max_length=1024)] = ""


class ScanRequest(StrictBody):
    """Which images to scan again: `image_ids`, or all `under` a prefix (deprecated)."""

    image_ids: Annotated[list[Name] | None, Field(min_length=1, max_length=_MOST_IMAGES)] = None
    under: Annotated[
        Under | None,
        Field(
            description="`POST /v1/rescans` with `bucket` and `prefix` does more.",
            json_schema_extra={"deprecated": True},  # pydantic's own would warn us at each look
        ),
    ] = None
    bundle_version: Annotated[Line | None, Field(description="The champion when left out.")] = None
    cursor: Annotated[
        str | None, Field(max_length=64, description="With `under`: `next_cursor` of the answer before.")
    ] = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.image_ids is None) == (self.under is None):
            raise ValueError("give either image_ids or under")
        return self


class ScansRequested(BaseModel):
    """What became of a request; an image whose rescan is open already gets no second one."""

    queued: int
    scan_ids: list[int]
    bundle_version: str
    unknown: Annotated[list[str], Field(description="Image ids that nobody knows.")]
    next_cursor: Annotated[
        str | None, Field(description="With `under`: there is more; ask again with it until it is null.")
    ]


@router.get("", dependencies=[Depends(Needs(Scope.READ))])
def list_scans(state: ScanState, queries: parts.Queries, limit: Limit = 50, cursor: Cursor = None) -> Scans:
    """List scans of one state, newest first."""
    rows = queries.scans(state, limit=limit + 1, before=decode_cursor(cursor))
    return Scans(
        items=[ListedScan.of(scan, image) for scan, image in rows[:limit]],
        next_cursor=next_cursor([scan.id for scan, _ in rows], limit),
    )


@router.post("", status_code=HTTPStatus.ACCEPTED, responses=problems(404, 409, *WITH_BODY))
def request_scans(
    order: ScanRequest,
    response: Response,
    rescans: parts.Rescans,
    actor: Annotated[Actor, Depends(Once(Scope.OPERATE))],
) -> ScansRequested:
    """Scan images again on the bulk queue, behind all new ones; `/v1/rescans` does it for all under a prefix."""
    if order.under is not None:
        response.headers.update(_DEPRECATED)
    try:
        requested = _requested(order, rescans, actor)
    except UnknownBundleError as error:
        raise ProblemError(HTTPStatus.NOT_FOUND, error.detail) from error
    except (NeverPromotedError, NoChampionError, WithdrawnBundleError) as error:
        raise ProblemError(HTTPStatus.CONFLICT, error.detail) from error
    return ScansRequested(
        queued=len(requested.scan_ids),
        scan_ids=list(requested.scan_ids),
        bundle_version=requested.bundle_version,
        unknown=list(requested.unknown),
        next_cursor=encode_cursor(requested.next_after) if requested.next_after else None,
    )


def _requested(order: ScanRequest, rescans: parts.Rescans, actor: Actor) -> RescanOutcome:
    if order.under is None:
        if order.cursor is not None:
            raise InvalidError("body", "cursor", "goes with under only")
        return rescans.of_images(actor, order.image_ids or [], order.bundle_version)
    under, after = order.under, decode_cursor(order.cursor) or 0
    return rescans.of_prefix(actor, under.bucket, under.prefix, bundle_version=order.bundle_version, after=after)


@router.get("/{scan_id}", responses=problems(404), dependencies=[Depends(Needs(Scope.READ))])
def get_scan(scan_id: ScanId, queries: parts.Queries) -> ListedScan:
    """Return one scan."""
    row = queries.scan(scan_id)
    if row is None:
        raise _unknown()
    return ListedScan.of(*row)


@router.post("/{scan_id}/replay", status_code=HTTPStatus.ACCEPTED, responses=problems(404, 409))
def replay_scan(scan_id: ScanId, dead_scans: parts.DeadScans, queries: parts.Queries, actor: Operator) -> ListedScan:
    """Queue a dead scan again, with all its attempts."""
    replayed = dead_scans.replay(actor, scan_id)
    row = queries.scan(scan_id)
    if row is None:
        raise _unknown()
    if not replayed:
        raise ProblemError(HTTPStatus.CONFLICT, f"Only dead scans are replayed; this one is {row[0].state}.")
    return ListedScan.of(*row)


def _unknown() -> ProblemError:
    return ProblemError(HTTPStatus.NOT_FOUND, "There is no scan of this id.")
