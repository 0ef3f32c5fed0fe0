"""Rescans of history: ask for one by filter, see how far it is, cancel it."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Self

from fastapi import APIRouter, Depends, Path
from pydantic import AwareDatetime, BaseModel, Field, model_validator

from api import parts
from api.auth import Needs, Operator
from api.errors.problems import WITH_BODY, ProblemError, problems
from api.requests.cursors import MAX_ID, Cursor, Limit, decode_cursor, next_cursor
from api.requests.idempotency import Once, OnceRoute
from api.requests.strict import StrictBody
from api.requests.texts import Line, Name, Words
from api.schemas.scans import FromRow
from worker.database.api_keys import Scope
from worker.database.audit import Actor
from worker.database.promotion import UnknownBundleError
from worker.database.rescan_filter import RescanFilter
from worker.database.rescans import NeverPromotedError, NoChampionError, WithdrawnBundleError
from worker.database.tables import Rescan, RescanState
from worker.decisions.vocabulary import VerdictValue

router = APIRouter(prefix="/v1/rescans", tags=["rescans"], responses=problems(), route_class=OnceRoute)

RescanId = Annotated[int, Path(ge=1, le=MAX_ID)]
Share = Annotated[float | None, Field(ge=0, le=1, allow_inf_nan=False)]
_may_read = Depends(Needs(Scope.READ))


class Filter(StrictBody):
    """Which images; what is left out restricts nothing. Verdicts are the newest that a machine gave."""

    source: Name | None = None
    bucket: Name | None = None
    prefix: Annotated[str | None, Field(max_length=1024, description="Their keys begin so; goes with `bucket`.")] = None
    verdict: VerdictValue | None = None
    judged_by: Annotated[Line | None, Field(description="By this bundle version.")] = None
    since: Annotated[AwareDatetime | None, Field(description="Known at or after this time.")] = None
    until: Annotated[AwareDatetime | None, Field(description="Known before this time.")] = None
    min_probability: Share = None
    max_probability: Share = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        least, most = self.min_probability, self.max_probability
        if least is not None and most is not None and least > most:
            raise ValueError("min_probability must not exceed max_probability")
        if self.prefix is not None and self.bucket is None:
            raise ValueError("prefix goes with bucket")
        return self


class RescanWanted(StrictBody):
    """What to scan again, by which bundle, how fast and why."""

    filter: Filter = Filter()
    bundle_version: Annotated[Line | None, Field(description="The champion when left out.")] = None
    rate: Annotated[
        float, Field(gt=0, le=10_000, description="Scans made a second, at most; live images go first anyway.")
    ] = 10.0
    reason: Words


class RescanOut(FromRow):
    """A rescan and how far it has come."""

    id: int
    filter: dict[str, Any]
    bundle_version: str
    rate: float
    state: RescanState
    examined: Annotated[int, Field(description="Images looked at.")]
    queued: Annotated[int, Field(description="Scans made of them; the others were done already or not asked for.")]
    reason: str
    requested_by: str
    created_at: datetime
    finished_at: datetime | None


class Rescans(BaseModel):
    """A page of rescans, newest first."""

    items: list[RescanOut]
    next_cursor: str | None


@router.post("", status_code=HTTPStatus.ACCEPTED, responses=problems(404, 409, *WITH_BODY))
def request_rescan(
    order: RescanWanted, rescans: parts.Rescans, actor: Annotated[Actor, Depends(Once(Scope.OPERATE))]
) -> RescanOut:
    """Scan again what is known now, behind all live images; what the bundle has judged already is passed over."""
    try:
        rescan = rescans.add(
            actor,
            RescanFilter(**dict(order.filter)),
            rate=order.rate,
            reason=order.reason,
            bundle_version=order.bundle_version,
        )
    except UnknownBundleError as error:
        raise ProblemError(HTTPStatus.NOT_FOUND, error.detail) from error
    except (NeverPromotedError, NoChampionError, WithdrawnBundleError) as error:
        raise ProblemError(HTTPStatus.CONFLICT, error.detail) from error
    return RescanOut.model_validate(rescan)


@router.get("", dependencies=[_may_read])
def list_rescans(rescans: parts.Rescans, limit: Limit = 50, cursor: Cursor = None) -> Rescans:
    """List rescans, newest first."""
    newest = rescans.page(limit=limit + 1, before=decode_cursor(cursor))
    return Rescans(
        items=[RescanOut.model_validate(rescan) for rescan in newest[:limit]],
        next_cursor=next_cursor([rescan.id for rescan in newest], limit),
    )


@router.get("/{rescan_id}", responses=problems(404), dependencies=[_may_read])
def get_rescan(rescan_id: RescanId, rescans: parts.Rescans) -> RescanOut:
    """Return one rescan."""
    return RescanOut.model_validate(_existing(rescans, rescan_id))


@router.post("/{rescan_id}/cancel", status_code=HTTPStatus.ACCEPTED, responses=problems(404, 409))
def cancel_rescan(rescan_id: RescanId, rescans: parts.Rescans, actor: Operator) -> RescanOut:
    """Make no more scans; those that are queued are still done."""
    cancelled = rescans.cancel(actor, rescan_id)
    rescan = _existing(rescans, rescan_id)
    if not cancelled:
        raise ProblemError(HTTPStatus.CONFLICT, f"This rescan has ended: it is {rescan.state}.")
    return RescanOut.model_validate(rescan)


def _existing(rescans: parts.Rescans, rescan_id: int) -> Rescan:
    rescan = rescans.get(rescan_id)
    if rescan is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "There is no rescan of this id.")
    return rescan
