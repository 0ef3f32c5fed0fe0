"""Training leases: who runs a training run, until when, and how far it is. The lease owns the run, not a message.

A lease is renewed by its holder. Past its end anybody may take the run over, and the former holder is fenced off: every
statement names the lease's token.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, Interval, and_, cast, func, literal, or_, select, update
from sqlalchemy.orm import Session

from worker.database.driver_statement import DriverStatement
from worker.database.session import Database
from worker.database.tables import RunState, TrainingRun
from worker.database.training_runs import announce
from worker.errors import LeaseLostError

# A run whose holders died so often takes its machine down with it, or never fits into its memory.
DEAD_AFTER_EXPIRIES = 3


@dataclass(frozen=True)
class RunLease:
    """A run that is ours to execute, for as long as its heart beats."""

    run_id: int
    token: UUID


class TrainingLeases:
    """Takes, renews and ends the leases of training runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def waiting(self) -> int:
        """Count the runs that somebody should take: queued ones, and those whose lease ended."""
        return self._database.fetch_value(_HOW_MANY_FREE) or 0

    def claim(self, seconds: float) -> RunLease | None:
        """Take the oldest run that is free for so many seconds, or return None.

        One whose cancellation its holder did not live to see is cancelled, one that lost too many holders has failed.
        """
        with self._database.transaction() as session:
            free = select(TrainingRun).where(_free()).order_by(TrainingRun.id).limit(1)
            while (run := session.scalar(free.with_for_update(skip_locked=True))) is not None:
                run.expiries += run.state == RunState.RUNNING
                if run.cancel_requested_at is not None:
                    _end(session, run, RunState.CANCELLED, None)
                elif run.expiries >= DEAD_AFTER_EXPIRIES:
                    _end(session, run, RunState.FAILED, f"{run.expiries} training workers died or hung while it ran")
                else:
                    token = uuid4()
                    run.state, run.lease_token, run.heartbeat_at = RunState.RUNNING, token, session.scalar(_now)
                    run.lease_until = session.scalar(select(_in(seconds)))
                    run.started_at = run.started_at or run.heartbeat_at
                    announce(session, run.id, "state", {"state": run.state, "expiries": run.expiries})
                    return RunLease(run.id, token)
                session.flush()
        return None

    def ended(self, run_ids: Collection[int]) -> Sequence[int]:
        """Return which of some runs have ended."""
        final = ~TrainingRun.state.in_((RunState.QUEUED, RunState.RUNNING))
        with self._database.transaction() as session:
            return session.scalars(select(TrainingRun.id).where(TrainingRun.id.in_(run_ids), final)).all()

    def read(self, lease: RunLease) -> TrainingRun:
        """Return the run; raises LeaseLostError as :meth:`beat`."""
        with self._database.transaction() as session:
            return _held(session, lease)

    def beat(self, lease: RunLease, seconds: float) -> bool:
        """Renew the lease; return whether the run is to be cancelled.

        Raises:
            LeaseLostError: the run has ended, or somebody else holds it.
        """
        values = {"heartbeat_at": func.now(), "lease_until": _in(seconds)}
        with self._database.transaction() as session:
            row = session.execute(
                _mine(lease).values(**values).returning(TrainingRun.cancel_requested_at)
            ).one_or_none()
        if row is None:
            raise LeaseLostError(f"training run {lease.run_id} is not held by this worker any more")
        return row[0] is not None

    def tell(self, lease: RunLease, kind: str, progress: Mapping[str, Any], *, event: bool = True) -> None:
        """Write down how far the run is, and as an event unless told otherwise; raises as :meth:`beat`."""
        with self._database.transaction() as session:
            _held(session, lease).progress = dict(progress)
            if event:
                announce(session, lease.run_id, kind, progress)

    def give_back(self, lease: RunLease) -> None:
        """Queue the run again, to be resumed; this is no fault of its own."""
        with self._database.transaction() as session:
            run = _held(session, lease)
            run.state, run.lease_token, run.lease_until = RunState.QUEUED, None, None
            announce(session, run.id, "state", {"state": run.state})

    def let_expire(self, lease: RunLease) -> None:
        """End the lease at once as if its holder had died; the run is taken over, and that is counted."""
        with self._database.transaction() as session:
            session.execute(_mine(lease).values(lease_until=func.now()))

    def end(self, lease: RunLease, state: RunState, detail: str | None = None) -> None:
        """End the run without a bundle; raises as :meth:`beat`."""
        with self._database.transaction() as session:
            _end(session, _held(session, lease), state, detail)


def complete(
    session: Session,
    lease: RunLease,
    *,
    bundle_version: str | None,
    report: Mapping[str, Any],
    artifacts: str,
    detail: str,
) -> None:
    """End the run with its bundle, in the transaction that registers it.

    Raises:
        LeaseLostError: the run has ended, somebody else holds it, or it is to be cancelled.
    """
    run = _held(session, lease)
    if run.cancel_requested_at is not None:  # the heartbeat is about to say so
        raise LeaseLostError(f"training run {lease.run_id} is to be cancelled")
    run.bundle_version, run.report, run.artifacts = bundle_version, dict(report), artifacts
    _end(session, run, RunState.COMPLETED, detail)


def _held(session: Session, lease: RunLease) -> TrainingRun:
    mine = select(TrainingRun).where(TrainingRun.id == lease.run_id, *_fence(lease))
    run = session.scalar(mine.with_for_update())
    if run is None:
        raise LeaseLostError(f"training run {lease.run_id} is not held by this worker any more")
    return run


def _end(session: Session, run: TrainingRun, state: RunState, detail: str | None) -> None:
    run.state, run.detail, run.finished_at = state, detail and detail.replace("\x00", "")[:2000], session.scalar(_now)
    run.lease_token = run.lease_until = None
    announce(session, run.id, "state", {"state": state, "detail": run.detail, "bundle_version": run.bundle_version})


_now = select(func.now())


def _free() -> ColumnElement[bool]:
    expired = and_(
        TrainingRun.state == RunState.RUNNING, func.coalesce(TrainingRun.lease_until, func.now()) <= func.now()
    )
    return or_(TrainingRun.state == RunState.QUEUED, expired)


_HOW_MANY_FREE = DriverStatement(select(func.count()).select_from(TrainingRun).where(_free()))


def _fence(lease: RunLease) -> tuple[ColumnElement[bool], ...]:
    return TrainingRun.state == RunState.RUNNING, TrainingRun.lease_token == lease.token


def _mine(lease: RunLease) -> Any:
    return update(TrainingRun).where(TrainingRun.id == lease.run_id, *_fence(lease))


def _in(seconds: float) -> ColumnElement[Any]:
    return func.now() + cast(literal(f"{seconds} seconds"), Interval)
