"""Training runs as the API sees them: asked for, looked at, cancelled. Who executes them holds their lease."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import case, func, insert, select, update
from sqlalchemy.orm import Session

from worker.database.audit import Actor, record
from worker.database.session import Database
from worker.database.tables import Label, RunState, TrainingEvent, TrainingRun
from worker.errors import AssayError

ACTIVE = (RunState.QUEUED, RunState.RUNNING)


class ActiveRunError(AssayError):
    """A run of this recipe is active already."""


class TrainingRuns:
    """The table of training runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def queue(
        self, actor: Actor, recipe: str, parameters: Mapping[str, Any], *, allow_parallel: bool = False
    ) -> TrainingRun:
        """Ask for a run; it stays `queued` until a training worker takes it.

        The labels that there are now are those that it will see, whenever it is started or resumed.

        Raises:
            ActiveRunError: a run of this recipe is active, and none beside it was asked for.
        """
        with self._database.transaction() as session:
            session.execute(select(func.pg_advisory_xact_lock(func.hashtext("assay.training"))))
            active = session.scalar(
                select(TrainingRun.id).where(TrainingRun.recipe == recipe, TrainingRun.state.in_(ACTIVE)).limit(1)
            )
            if active is not None and not allow_parallel:
                raise ActiveRunError(
                    f"Run {active} of recipe {recipe} is active: wait for it, cancel it, or send `allow_parallel`."
                )
            until = session.scalar(select(func.coalesce(func.max(Label.id), 0)))
            values = {**parameters, "labels_until": until}
            run = TrainingRun(recipe=recipe, parameters=values, requested_by=actor.name)
            session.add(run)
            session.flush()
            session.refresh(run)
            announce(session, run.id, "state", {"state": run.state})
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

    def events(self, run_id: int, *, after: int = 0, limit: int = 1000) -> Sequence[TrainingEvent]:
        """Return what a run told, oldest first, events with ids beyond ``after``."""
        query = select(TrainingEvent).where(TrainingEvent.run_id == run_id, TrainingEvent.id > after)
        with self._database.transaction() as session:
            return session.scalars(query.order_by(TrainingEvent.id).limit(limit)).all()

    def cancel(self, actor: Actor, run_id: int) -> bool:
        """Cancel a queued run, or ask a running one to end at its next heartbeat; False for one that does neither."""
        queued = TrainingRun.state == RunState.QUEUED
        cancelled = (
            update(TrainingRun)
            .where(TrainingRun.id == run_id, TrainingRun.state.in_(ACTIVE))
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
            if state == RunState.CANCELLED:
                announce(session, run_id, "state", {"state": state})
        return state is not None


def announce(session: Session, run_id: int, kind: str, data: Mapping[str, Any]) -> None:
    """Write an event down in the transaction of what it tells of."""
    session.execute(insert(TrainingEvent).values(run_id=run_id, kind=kind, data=dict(data)))
