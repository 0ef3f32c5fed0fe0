"""Training runs: ask for one, watch it, read what the gate found, cancel it."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import ValidationError

from api import parts
from api.answers.artifacts import Artifacts
from api.answers.run_stream import event_stream, last_seen
from api.console.evidence import compared_in, confusion_in, curves_in, losses_in
from api.console.pages import ConsoleRoute, go, page
from api.console.visitor import HOME, Form, FromVisitor, Sends
from api.errors.problems import ProblemError
from api.requests.cursors import MAX_ID, decode_cursor, next_cursor
from api.routes.training_runs import REPORT_PAGE, NewRun
from worker.database.api_keys import Scope
from worker.database.tables import TrainingRun
from worker.database.training_runs import ACTIVE, ActiveRunError

router = APIRouter(prefix=f"{HOME}/training", include_in_schema=False, route_class=ConsoleRoute)

RunId = Annotated[int, Path(ge=1, le=MAX_ID)]
_ON_A_PAGE = 25
# Of this release, with what each is for; any other name of a recipe may be typed.
_RECIPES = {
    "refit": "heads and calibration alone, on stored features; seconds",
    "wild": "heads on a frozen encoder, photographs of every kind",
    "cifake": "two networks from scratch and an encoder fitted on, 32 x 32 images",
}


@router.get("")
def show_runs(
    runs: parts.TrainingRuns,
    bundles: parts.Bundles,
    who: FromVisitor,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
    notice: str | None = None,
) -> Response:
    """List training runs, newest first."""
    newest = runs.page(limit=_ON_A_PAGE + 1, before=decode_cursor(cursor))
    return page(
        "training",
        who,
        rows=newest[:_ON_A_PAGE],
        next_cursor=next_cursor([run.id for run in newest], _ON_A_PAGE),
        recipes=_RECIPES,
        bundles=bundles.all(),
        notice=notice,
    )


@router.post("")
def start_run(runs: parts.TrainingRuns, form: Annotated[Form, Depends(Sends(Scope.OPERATE))]) -> Response:
    """Ask for a run, as the API does."""
    new_run = _new_run(form)
    parameters = new_run.model_dump(exclude={"recipe", "allow_parallel"}, exclude_none=True)
    try:
        run = runs.queue(form.visitor.actor, new_run.recipe, parameters, allow_parallel=new_run.allow_parallel)
    except ActiveRunError as error:
        raise ProblemError(HTTPStatus.CONFLICT, error.detail) from error
    return go(f"{HOME}/training/{run.id}", notice="run_queued")


def _new_run(form: Form) -> NewRun:
    share = form.text("shadow_percent").replace(",", ".")
    fields = {
        "recipe": form.needed("recipe"),
        "data": form.text("data", most=50_000).split(),
        "base_bundle": form.text("base_bundle") or None,
        "changes": [line.strip() for line in form.text("changes", most=10_000).splitlines() if line.strip()],
        "minutes": form.text("minutes").replace(",", ".") or None,
        "allow_parallel": form.text("allow_parallel") == "yes",
    }
    try:
        return NewRun.model_validate({**fields, "shadow_share": float(share) / 100 if share else None})
    except ValidationError as error:
        words = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, words) from error
    except ValueError as error:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "shadow share: give a number of percent") from error


@router.get("/{run_id}")
def show_run(
    run_id: RunId, runs: parts.TrainingRuns, bundles: parts.Bundles, who: FromVisitor, notice: str | None = None
) -> Response:
    """Show one run."""
    run = _existing(runs, run_id)
    events = runs.events(run_id)
    bundle = bundles.get(run.bundle_version) if run.bundle_version else None
    measures = (run.report or {}).get("measures", {}).get("all", {})
    return page(
        "run",
        who,
        run=run,
        active=run.state in ACTIVE,
        events=events,
        losses=losses_in([event.data for event in events]),
        compared=compared_in(measures),
        confusions={role: confusion_in(measures.get(role)) for role in ("champion", "challenger")},
        curves=curves_in(run.report) or (curves_in(bundle.card) if bundle else None),
        bundle=bundle,
        notice=notice,
    )


@router.get("/{run_id}/state")
def show_state(run_id: RunId, runs: parts.TrainingRuns, who: FromVisitor) -> Response:
    """Return how far a run is, for a page that keeps itself up to date."""
    run = _existing(runs, run_id)
    return page("run_state", who, run=run, active=run.state in ACTIVE)


@router.get("/{run_id}/events")
def stream_events(
    run_id: RunId,
    request: Request,
    runs: parts.TrainingRuns,
    who: FromVisitor,
    after: Annotated[int, Query(ge=0, le=MAX_ID)] = 0,
) -> Response:
    """Send what a run tells as it comes."""
    assert who  # noqa: S101 - named to be signed in
    _existing(runs, run_id)
    last = last_seen(request.headers.get("last-event-id"), after)
    return event_stream(runs, run_id, last)


@router.get("/{run_id}/report")
def open_report(
    run_id: RunId,
    runs: parts.TrainingRuns,
    artifacts: Artifacts,
    who: FromVisitor,
) -> Response:
    """Lead to the gate's report as a page of its own, which lies in the artifact bucket."""
    assert who  # noqa: S101 - named to be signed in
    run = _existing(runs, run_id)
    if run.report is None or not run.artifacts:
        raise ProblemError(HTTPStatus.NOT_FOUND, f"This run has no report: it is {run.state}.")
    return artifacts.lead_to(f"{run.artifacts}{REPORT_PAGE}", HTTPStatus.SEE_OTHER)


@router.post("/{run_id}/cancel")
def cancel_run(
    run_id: RunId, runs: parts.TrainingRuns, form: Annotated[Form, Depends(Sends(Scope.OPERATE))]
) -> Response:
    """Cancel a run."""
    run = _existing(runs, run_id)
    if not runs.cancel(form.visitor.actor, run_id):
        raise ProblemError(HTTPStatus.CONFLICT, f"This run has ended: it is {run.state}.")
    return go(f"{HOME}/training/{run_id}", notice="run_cancelled")


def _existing(runs: parts.TrainingRuns, run_id: int) -> TrainingRun:
    run: TrainingRun | None = runs.get(run_id)
    if run is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "There is no training run of this id.")
    return run
