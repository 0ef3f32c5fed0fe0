"""Training runs: ask for one, watch it, read what the gate found, cancel it."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from api import parts
from api.answers.artifacts import Artifacts
from api.answers.run_stream import event_stream, last_seen
from api.auth import Needs, Operator
from api.errors.problems import WITH_BODY, ProblemError, problems
from api.requests.cursors import MAX_ID, Cursor, Limit, decode_cursor, next_cursor
from api.requests.idempotency import Once, OnceRoute
from api.requests.strict import StrictBody
from api.requests.texts import Line, Name
from api.schemas.scans import FromRow
from worker.database.api_keys import Scope
from worker.database.audit import Actor
from worker.database.tables import RunState, TrainingRun
from worker.database.training_runs import ActiveRunError

router = APIRouter(prefix="/v1/training-runs", tags=["training runs"], responses=problems(), route_class=OnceRoute)

RunId = Annotated[int, Path(ge=1, le=MAX_ID)]
_may_read = Depends(Needs(Scope.READ))
_STREAM = "text/event-stream"
REPORT_PAGE = "gate.html"


class NewRun(StrictBody):
    """What to train: a recipe, labels and data, and what departs from the recipe."""

    recipe: Annotated[
        str,
        Field(
            pattern=r"^[a-z0-9][a-z0-9_-]*(/[a-z0-9][a-z0-9_-]*)?$",
            max_length=100,
            description="Name of a recipe, such as `wild`; `refit` fits heads and calibration alone, in seconds.",
        ),
    ]
    data: Annotated[
        list[Name],
        Field(
            max_length=50,
            description="`s3://bucket/prefix` for the labelled images below it, or a name in the training worker's "
            "data folder. Left out: every image that reviewers agree on, and the recipe's own files.",
        ),
    ] = Field(default_factory=list)
    base_bundle: Annotated[Line | None, Field(description="Version of the bundle whose weights it starts from.")] = None
    changes: Annotated[
        list[Line], Field(max_length=50, description="What departs from the recipe, such as `fit.epochs=3`.")
    ] = Field(default_factory=list)
    minutes: Annotated[float | None, Field(gt=0, le=100_000, description="Wall clock for each detector.")] = None
    shadow_share: Annotated[
        float | None,
        Field(ge=0, le=1, description="Share of live images it scans in shadow once the gate has passed it."),
    ] = None
    allow_parallel: Annotated[bool, Field(description="Run beside an active run of the same recipe.")] = False


class RunOut(FromRow):
    """A training run; `queued` until a training worker takes it."""

    id: int
    recipe: str
    parameters: dict[str, Any]
    state: RunState
    progress: Annotated[
        dict[str, Any] | None,
        Field(description="`stage`, `done` (0 to 1), `eta_seconds`, and while it fits `detector`, `epoch`, `loss`."),
    ]
    bundle_version: str | None = Field(description="What it made.")
    gate_passed: Annotated[bool | None, Field(description="Null until the gate has judged.")] = None
    detail: str | None
    requested_by: str
    cancel_requested_at: datetime | None
    created_at: datetime
    started_at: datetime | None
    heartbeat_at: Annotated[datetime | None, Field(description="When its training worker was last heard of.")]
    finished_at: datetime | None

    @classmethod
    def of(cls, run: TrainingRun) -> "RunOut":
        """Return the answer's form of a database row."""
        passed = None if run.report is None else bool(run.report["passed"])
        return cls.model_validate(run).model_copy(update={"gate_passed": passed})


class Runs(BaseModel):
    """A page of training runs, newest first."""

    items: list[RunOut]
    next_cursor: str | None


class RunEvent(FromRow):
    """Something that a run told."""

    id: int
    kind: Annotated[str, Field(description="`state`, `stage` or `progress`.")]
    data: dict[str, Any]
    created_at: datetime


class RunEvents(BaseModel):
    """What a run told, oldest first."""

    items: list[RunEvent]
    next_after: Annotated[int, Field(description="Send it as `after` for what is told from here on.")]
    ended: Annotated[bool, Field(description="Nothing more will come.")]


@router.post("", status_code=HTTPStatus.ACCEPTED, responses=problems(409, *WITH_BODY))
def request_training(
    run: NewRun, runs: parts.TrainingRuns, actor: Annotated[Actor, Depends(Once(Scope.OPERATE))]
) -> RunOut:
    """Ask for a training run; of one recipe one is active at a time."""
    parameters = run.model_dump(exclude={"recipe", "allow_parallel"}, exclude_none=True)
    try:
        return RunOut.of(runs.queue(actor, run.recipe, parameters, allow_parallel=run.allow_parallel))
    except ActiveRunError as error:
        raise ProblemError(HTTPStatus.CONFLICT, error.detail) from error


@router.get("", dependencies=[_may_read])
def list_training_runs(
    runs: parts.TrainingRuns, state: RunState | None = None, limit: Limit = 50, cursor: Cursor = None
) -> Runs:
    """List training runs, newest first."""
    newest = runs.page(limit=limit + 1, before=decode_cursor(cursor), state=state)
    return Runs(
        items=[RunOut.of(run) for run in newest[:limit]],
        next_cursor=next_cursor([run.id for run in newest], limit),
    )


@router.get("/{run_id}", responses=problems(404), dependencies=[_may_read])
def get_training_run(run_id: RunId, runs: parts.TrainingRuns) -> RunOut:
    """Return one training run."""
    return RunOut.of(_existing(runs, run_id))


@router.get("/{run_id}/events", responses=problems(404), response_model=RunEvents, dependencies=[_may_read])
def list_training_events(
    run_id: RunId,
    request: Request,
    runs: parts.TrainingRuns,
    after: Annotated[int, Query(ge=0, le=MAX_ID, description="Only events beyond this id.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
) -> Response:
    """Return what a run told; with `Accept: text/event-stream`, send it as it comes (`Last-Event-ID` goes on)."""
    run = _existing(runs, run_id)
    if _STREAM in request.headers.get("accept", ""):
        last = last_seen(request.headers.get("last-event-id"), after)
        return event_stream(runs, run_id, last)
    events = runs.events(run_id, after=after, limit=limit)
    answer = RunEvents(
        items=[RunEvent.model_validate(event) for event in events],
        next_after=events[-1].id if events else after,
        ended=run.finished_at is not None and len(events) < limit,
    )
    return Response(answer.model_dump_json(), media_type="application/json")


@router.get(
    "/{run_id}/report",
    response_model=dict[str, Any],
    responses={**problems(404), 307: {"description": "The page lies there, without a key, for a short time"}},
    dependencies=[_may_read],
)
def get_training_report(
    run_id: RunId,
    runs: parts.TrainingRuns,
    artifacts: Artifacts,
    form: Literal["json", "html"] = "json",
) -> Response:
    """Return what the gate found, champion and challenger side by side; as a page with `form=html`."""
    run = _existing(runs, run_id)
    if run.report is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, f"This run has no report: it is {run.state}.")
    if form == "json":
        return JSONResponse(run.report)
    return artifacts.lead_to(f"{run.artifacts}{REPORT_PAGE}")


@router.post("/{run_id}/cancel", status_code=HTTPStatus.ACCEPTED, responses=problems(404, 409))
def cancel_training_run(run_id: RunId, runs: parts.TrainingRuns, actor: Operator) -> RunOut:
    """Cancel a queued run at once; a running one ends within seconds."""
    cancelled = runs.cancel(actor, run_id)
    run = _existing(runs, run_id)
    if not cancelled:
        raise ProblemError(HTTPStatus.CONFLICT, f"This run has ended: it is {run.state}.")
    return RunOut.of(run)


def _existing(runs: parts.TrainingRuns, run_id: int) -> TrainingRun:
    run = runs.get(run_id)
    if run is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "There is no training run of this id.")
    return run
