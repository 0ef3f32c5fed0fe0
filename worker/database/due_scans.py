"""Scans that are due, as the dispatcher sees them: taken from their queue, handed back, counted.

Times are the database's own, so processes' clocks do not matter.
"""

from collections.abc import Sequence

from sqlalchemy import case, func, select, update
from sqlalchemy.orm import Session

from worker.database.scans import from_now
from worker.database.tables import OPEN_STATES, Scan, ScanState
from worker.errors import Reason

# More than it takes to suspect an image: a lease that expires says first of all that a worker died or hung.
DEAD_AFTER_EXPIRIES = 6


def take_due(session: Session, queue: str, *, max_in_flight: int, dispatch_seconds: float) -> list[int]:
    """Mark due scans of a queue dispatched, as many as the bound on those in flight allows.

    Due are queued scans whose time has come, dispatched ones that no worker
    leased in time, and leased ones whose lease ended; the last are counted.

    Returns:
        Ids of the scans to publish once this transaction is committed.
    """
    in_flight = session.scalar(
        select(func.count()).where(
            Scan.queue == queue,
            Scan.state.in_((ScanState.DISPATCHED, ScanState.LEASED)),
            Scan.due_at > func.now(),
        )
    )
    room = max_in_flight - (in_flight or 0)
    if room <= 0:
        return []
    due = (
        select(Scan.id)
        .where(Scan.queue == queue, Scan.state.in_(OPEN_STATES), Scan.due_at <= func.now())
        .order_by(Scan.due_at)
        .limit(room)
        .with_for_update(skip_locked=True)
        # Once, before the update: a plan that asked again for each row would take more than there is room for.
        .cte("due")
        .prefix_with("MATERIALIZED")
    )
    expired = case((Scan.state == ScanState.LEASED, 1), else_=0)
    take = (
        update(Scan)
        .where(Scan.id.in_(select(due.c.id)))
        .values(
            state=ScanState.DISPATCHED,
            lease_token=None,
            due_at=from_now(dispatch_seconds),
            lease_expiries=Scan.lease_expiries + expired,
        )
        .returning(Scan.id, Scan.lease_expiries)
    )
    taken = session.execute(take).all()
    hopeless = [scan_id for scan_id, expiries in taken if expiries >= DEAD_AFTER_EXPIRIES]
    if hopeless:
        session.execute(
            update(Scan)
            .where(Scan.id.in_(hopeless))
            .values(
                state=ScanState.DEAD,
                due_at=None,
                finished_at=func.now(),
                reason=Reason.ATTEMPTS_EXHAUSTED,
                detail=f"{DEAD_AFTER_EXPIRIES} leases expired: every worker that held it died or hung",
            )
        )
    return sorted({scan_id for scan_id, _ in taken} - set(hopeless))


def hand_back(session: Session, scan_ids: Sequence[int], *, retry_in: float) -> None:
    """Queue dispatched scans again that could not be published."""
    session.execute(
        update(Scan)
        .where(Scan.id.in_(scan_ids), Scan.state == ScanState.DISPATCHED)
        .values(state=ScanState.QUEUED, due_at=from_now(retry_in))
    )


def backlog(session: Session, queue: str) -> tuple[int, float]:
    """Return how many scans of a queue are open and the age in seconds of the oldest."""
    age = func.coalesce(func.extract("epoch", func.now() - func.min(Scan.created_at)), 0)
    count, oldest = session.execute(
        select(func.count(), age).where(Scan.queue == queue, Scan.state.in_(OPEN_STATES), Scan.due_at.is_not(None))
    ).one()
    return count, float(oldest)
