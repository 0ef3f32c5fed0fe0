"""Training runs as the API sees them: asked for, looked at, cancelled. Who executes them holds their lease."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import case, func, select, update

from worker.store.audit import Actor, record
from worker.store.session import Database
from worker.store.tables import RunState, TrainingRun


class TrainingRuns:
    """The table of training runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def queue(self, actor: Actor, recipe: str, parameters: Mapping[str, Any]) -> TrainingRun:
        """Ask for a run; it stays `queued` until a training worker takes it."""
        with self._database.transaction() as session:
            run = TrainingRun(recipe=recipe, parameters=dict(parameters), requested_by=actor.name)
            session.add(run)
            session.flush()
            session.refresh(run)
            record(session, actor, "training_run.queue", f"training_run:{run.id}", recipe=recipe)
        return run

    def get(self, run_id: int) -> TrainingRun | None:
        """Return one run."""
        with self._database.transaction() as session:
            return session.get(TrainingRun, run_id)

    def page(self, *, limit: int, before: int | None = None, state: RunState | None = None) -> Sequence[TrainingRun]:
        """Return runs, newest first, those with ids below ``before``."""
        runs = select(TrainingRun).order_by(TrainingRun.id.desc()).limit(limit)
        if before is not None:
            runs = runs.where(TrainingRun.id < before)
        if state is not None:
            runs = runs.where(TrainingRun.state == state)
        with self._database.transaction() as session:
            return session.scalars(runs).all()

    def cancel(self, actor: Actor, run_id: int) -> bool:
        """Cancel a queued run, or ask a running one to end at its next heartbeat; False for one that does neither."""
        queued = TrainingRun.state == RunState.QUEUED
        cancelled = (
            update(TrainingRun)
            .where(TrainingRun.id == run_id, TrainingRun.state.in_((RunState.QUEUED, RunState.RUNNING)))
            .values(
                state=case((queued, RunState.CANCELLED), else_=TrainingRun.state),
                finished_at=case((queued, func.now()), else_=TrainingRun.finished_at),
                cancel_requested_at=func.coalesce(TrainingRun.cancel_requested_at, func.now()),
            )
            .returning(TrainingRun.state)
        )
        with self._database.transaction() as session:
            state = session.scalar(cancelled)
            if state is not None:
                record(session, actor, "training_run.cancel", f"training_run:{run_id}", state=state)
        return state is not None
