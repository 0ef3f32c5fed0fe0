"""Retention: how many days things are kept."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import Field

from api import parts
from api.auth import Needs
from api.errors.problems import WITH_BODY, problems
from api.requests.idempotency import Once, OnceRoute
from api.requests.strict import StrictBody
from api.schemas.scans import FromRow
from worker.database.api_keys import Scope
from worker.database.audit import Actor
from worker.database.retention import RetentionTerms

router = APIRouter(prefix="/v1/retention", tags=["retention"], responses=problems(), route_class=OnceRoute)

Days = Annotated[int, Field(ge=1, le=36_500)]


class Terms(StrictBody):
    """Days that things are kept; null is for ever."""

    image_days: Annotated[Days | None, Field(description="After which an image is erased, as by DELETE.")] = None
    heatmap_days: Days | None = None
    delivery_days: Annotated[Days, Field(description="Of webhook deliveries that have ended.")] = 30
    appeal_days: Annotated[Days, Field(description="Of who appealed and why, after the decision.")] = 180


class RetentionOut(FromRow):
    """The rules that count."""

    version: int
    image_days: int | None
    heatmap_days: int | None
    delivery_days: int
    appeal_days: int
    created_by: str
    created_at: datetime


@router.get("", dependencies=[Depends(Needs(Scope.OPERATE))])
def get_retention(retentions: parts.Retentions) -> RetentionOut:
    """Return the rules that count."""
    return RetentionOut.model_validate(retentions.newest())


@router.post("", status_code=HTTPStatus.CREATED, responses=problems(409, *WITH_BODY))
def set_retention(
    terms: Terms, retentions: parts.Retentions, actor: Annotated[Actor, Depends(Once(Scope.OPERATE))]
) -> RetentionOut:
    """Make new rules; the dispatcher keeps them from its next round on, within the hour."""
    new_terms = RetentionTerms(terms.image_days, terms.heatmap_days, terms.delivery_days, terms.appeal_days)
    return RetentionOut.model_validate(retentions.add(actor, new_terms))
