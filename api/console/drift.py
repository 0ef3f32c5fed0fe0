"""Drift: how each source's verdicts differ from the weeks before, and what is scanned again because of it."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from api import parts
from api.console.pages import ConsoleRoute, go, page
from api.console.visitor import HOME, Form, FromVisitor, Sends
from api.errors.problems import ProblemError
from worker.database.api_keys import Scope
from worker.database.rescan_filter import RescanFilter
from worker.database.rescans import NoChampionError
from worker.database.tables import Drift
from worker.decisions.vocabulary import VerdictValue

router = APIRouter(prefix=f"{HOME}/drift", include_in_schema=False, route_class=ConsoleRoute)

_DAYS, _RESCANS, _MOST_SOURCES = 30, 20, 200
# The usual reading of the population stability index.
_NOTABLE = 0.25
_ByOperator = Annotated[Form, Depends(Sends(Scope.OPERATE))]


@router.get("")
def show_drift(
    drift_measures: parts.DriftMeasures,
    rescans: parts.Rescans,
    figures: parts.Figures,
    who: FromVisitor,
    notice: str | None = None,
) -> Response:
    """Show the last days by source, and the rescans of history."""
    rows = drift_measures.page(days=_DAYS)
    return page(
        "drift",
        who,
        newest=newest_of(rows),
        notable=_NOTABLE,
        rescans=rescans.page(limit=_RESCANS),
        sources=figures.sources(_MOST_SOURCES),
        values=list(VerdictValue),
        notice=notice,
    )


@router.post("/rescan")
def rescan(rescans: parts.Rescans, form: _ByOperator) -> Response:
    """Have history scanned again by the champion."""
    value, source = form.text("verdict"), form.text("source")
    if value and value not in set(VerdictValue):
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, f"verdict: there is no verdict {value!r}")
    history = RescanFilter(source=source or None, verdict=VerdictValue(value) if value else None)
    try:
        rescans.add(form.visitor.actor, history, rate=_rate(form.needed("rate")), reason=form.needed("reason"))
    except NoChampionError as error:
        raise ProblemError(HTTPStatus.CONFLICT, error.detail) from error
    return go(f"{HOME}/drift", notice="rescan_queued")


@router.post("/rescans/{rescan_id}/cancel")
def cancel(rescan_id: int, rescans: parts.Rescans, form: _ByOperator) -> Response:
    """Make no more scans of a rescan."""
    if not rescans.cancel(form.visitor.actor, rescan_id):
        raise ProblemError(HTTPStatus.CONFLICT, "This rescan has ended already.")
    return go(f"{HOME}/drift", notice="rescan_cancelled")


def newest_of(rows: Sequence[Drift]) -> list[Drift]:
    """Return the newest row of each source, in order."""
    newest: dict[str, Drift] = {}
    for row in rows:
        newest.setdefault(row.source, row)
    return [newest[source] for source in sorted(newest)]


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate <= 10_000:  # noqa: PLR2004 - as the API's
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "rate: give images a second, more than 0")
    return rate
