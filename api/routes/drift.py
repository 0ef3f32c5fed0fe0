"""Drift: what the last days looked like beside the weeks before, by source."""

from datetime import date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from api import parts
from api.auth import Needs
from api.errors.problems import problems
from api.schemas.scans import FromRow
from worker.database.api_keys import Scope

router = APIRouter(prefix="/v1/drift", tags=["stats"], responses=problems(), dependencies=[Depends(Needs(Scope.READ))])

_MOST_DAYS = 366


class DriftOut(FromRow):
    """One day, source and bundle."""

    day: date
    source: str
    bundle_version: str
    measures: Annotated[
        dict[str, Any],
        Field(
            description=(
                "`psi` of the probabilities against the 28 days before (from 0.25 something has changed; null where so "
                "few images would give more than 0.1 by chance, such as 100 against fewer than 900), shares "
                "`uncertain`, `flagged` and `disagreement` with the same `_before`, `images`; "
                "`feature_shift`, of the mean of what the CLIP detector sees, in standard deviations, and "
                "`calibration_shift`, the same from the images that the bundle was calibrated on; "
                "`canary` for the source of photographs alone."
            )
        ),
    ]
    created_at: datetime


class DriftsOut(BaseModel):
    """Measures of the last days, newest first."""

    items: list[DriftOut]


@router.get("")
def list_drift(
    drift_measures: parts.DriftMeasures,
    days: Annotated[int, Query(ge=1, le=_MOST_DAYS)] = 30,
    source: Annotated[str | None, Query(max_length=1024, description="Exactly this source.")] = None,
) -> DriftsOut:
    """List how verdicts have drifted, by day and source."""
    rows = drift_measures.page(days=days, source=source)
    return DriftsOut(items=[DriftOut.model_validate(row) for row in rows])
