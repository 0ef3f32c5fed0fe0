"""Training runs: ask for one, see how it goes, cancel it. What is asked for waits for a training worker."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, Field, JsonValue

from api.auth import Admin, Needs
from api.cursors import MAX_ID, Cursor, Limit, decode_cursor, next_cursor
from api.idempotency import Once, OnceRoute
from api.problems import WITH_BODY, ProblemError, problems
from api.schemas import FromRow
from api.services import FromApp
from api.texts import Line
from worker.store.api_keys import Scope
from worker.store.audit import Actor
from worker.store.tables import RunState, TrainingRun

router = APIRouter(prefix="/v1/training-runs", tags=["training runs"], responses=problems(), route_class=OnceRoute)

RunId = Annotated[int, Path(ge=1, le=MAX_ID)]
_may_read = Depends(Needs(Scope.READ))


class NewRun(BaseModel):
    """What to train: a recipe, and what departs from it."""

    recipe: Annotated[Line, Field(description="Name of a recipe, such as `wild`.")]
    parameters: Annotated[
        dict[str, JsonValue], Field(max_length=50, description="What departs from the recipe, such as `base_bundle`.")
    ] = {}


class RunOut(FromRow):
    """A training run; `queued` until a training worker takes it."""

    id: int
    recipe: str
    parameters: dict[str, Any]
    state: RunState
    progress: dict[str, Any] | None
    bundle_version: str | None = Field(description="What it made.")
    detail: str | None
    requested_by: str
    cancel_requested_at: datetime | None
    created_at: datetime
    finished_at: datetime | None


class Runs(BaseModel):
    """A page of training runs, newest first."""

    items: list[RunOut]
    next_cursor: str | None


@router.post("", status_code=HTTPStatus.ACCEPTED, responses=problems(409, *WITH_BODY))
def request_training(run: NewRun, services: FromApp, actor: Annotated[Actor, Depends(Once(Scope.ADMIN))]) -> RunOut:
    """Ask for a training run."""
    return RunOut.model_validate(services.stores.training_runs.queue(actor, run.recipe, run.parameters))


@router.get("", dependencies=[_may_read])
def list_training_runs(
    services: FromApp, state: RunState | None = None, limit: Limit = 50, cursor: Cursor = None
) -> Runs:
    """List training runs, newest first."""
    found = services.stores.training_runs.page(limit=limit + 1, before=decode_cursor(cursor), state=state)
    return Runs(
        items=[RunOut.model_validate(run) for run in found[:limit]],
        next_cursor=next_cursor([run.id for run in found], limit),
    )


@router.get("/{run_id}", responses=problems(404), dependencies=[_may_read])
def get_training_run(run_id: RunId, services: FromApp) -> RunOut:
    """Return one training run."""
    return RunOut.model_validate(_known(services, run_id))


@router.post("/{run_id}/cancel", status_code=HTTPStatus.ACCEPTED, responses=problems(404, 409))
def cancel_training_run(run_id: RunId, services: FromApp, actor: Admin) -> RunOut:
    """Cancel a queued run at once; ask a running one to end."""
    cancelled = services.stores.training_runs.cancel(actor, run_id)
    run = _known(services, run_id)
    if not cancelled:
        raise ProblemError(HTTPStatus.CONFLICT, f"This run has ended: it is {run.state}.")
    return RunOut.model_validate(run)


def _known(services: FromApp, run_id: int) -> TrainingRun:
    run = services.stores.training_runs.get(run_id)
    if run is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "There is no training run of this id.")
    return run
