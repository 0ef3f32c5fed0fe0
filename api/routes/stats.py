"""Figures of the whole, for dashboards: counted at most every few seconds, however many ask."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from api import parts
from api.auth import Needs
from api.errors.problems import problems
from api.schemas.scans import FromRow
from worker.database.api_keys import Scope
from worker.database.tables import ScanState
from worker.decisions.vocabulary import VerdictValue

router = APIRouter(prefix="/v1", tags=["stats"], responses=problems(), dependencies=[Depends(Needs(Scope.READ))])

_MOST_HOURS = 24 * 31
_MOST_SOURCES = 1000


class BacklogOut(FromRow):
    """Open scans of a queue, and how long the oldest has been waiting."""

    scans: int
    oldest_seconds: float


class StatsOut(FromRow):
    """Figures of a moment."""

    scans: dict[ScanState, int]
    verdicts: dict[VerdictValue, int]
    backlog: dict[str, BacklogOut]


class Sources(BaseModel):
    """Sources that have verdicts, in alphabetical order."""

    items: list[str]


@router.get("/stats")
def get_stats(
    stats: parts.Stats, hours: Annotated[int, Query(ge=1, le=_MOST_HOURS, description="Of verdicts.")] = 24
) -> StatsOut:
    """Count scans by state, verdicts of the last hours by value, and what waits; at most 5 s old."""
    return StatsOut.model_validate(stats(timedelta(hours=hours)))


@router.get("/sources")
def list_sources(figures: parts.Figures) -> Sources:
    """List the sources that verdicts can be searched by."""
    return Sources(items=list(figures.sources(_MOST_SOURCES)))
