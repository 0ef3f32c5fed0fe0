"""Scans that are due, as the dispatcher sees them: taken from their queue, handed back, counted.

Times are the database's own, so processes' clocks do not matter.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import CTE, Select, exists, func, literal, select, union_all, update
from sqlalchemy.orm import Session

from worker.database.clock import from_now
from worker.database.session import compiled
from worker.database.tables import OPEN_STATES, Scan, ScanState
from worker.decisions.in_flight import share_of_round
from worker.errors import Reason

# More than it takes to suspect an image: a lease that expires says first of all that a worker died or hung.
DEAD_AFTER_EXPIRIES = 6


def take_due(
    session: Session, queue: str, *, max_in_flight: int, dispatch_seconds: float, messages: int = 0
) -> list[int]:
    """Mark due scans of a queue dispatched, as many as the bound on those in flight allows.

    Due are queued scans whose time has come, dispatched ones that no worker
    leased in time and whose message is lost, and leased ones whose lease
    ended; the last are counted.

    Args:
        session: of the caller's transaction.
        queue: whose scans.
        max_in_flight: most scans dispatched or leased.
        dispatch_seconds: after which an unleased scan is due again.
        messages: that wait in the broker.

    Returns:
        Ids of the scans to publish once this transaction is committed.
    """
    in_flight = _in_flight(session, queue)
    dispatched, leased = in_flight.get(ScanState.DISPATCHED, 0), in_flight.get(ScanState.LEASED, 0)
    share = share_of_round(dispatched=dispatched, leased=leased, messages=messages, bound=max_in_flight)
    due = [
        _due(queue, ScanState.LEASED, max_in_flight),
        _due(queue, ScanState.DISPATCHED, max_in_flight),
        *([_due(queue, ScanState.QUEUED, share.new)] if share.new else []),
    ]
    either = union_all(*(select(some) for some in due)).cte("due")
    take = (
        update(Scan)
        .where(Scan.id == either.c.id)
        .values(
            state=ScanState.DISPATCHED,
            lease_token=None,
            due_at=from_now(dispatch_seconds),
            lease_expiries=Scan.lease_expiries + either.c.expired,
        )
        .returning(Scan.id, Scan.lease_expiries, either.c.state, either.c.due_at)
    )
    taken = session.execute(take).all()
    hopeless = {row.id for row in taken if row.lease_expiries >= DEAD_AFTER_EXPIRIES}
    _give_up(session, hopeless)
    waiting = sorted((row.due_at, row.id) for row in taken if row.state == ScanState.DISPATCHED)
    # A broker gives out the oldest messages first, so those that were lost in workers' hands are the oldest.
    still_there = {scan_id for _, scan_id in waiting[share.again :]}
    return sorted({row.id for row in taken} - hopeless - still_there)


def _in_flight(session: Session, queue: str) -> dict[str, int]:
    states = (ScanState.DISPATCHED, ScanState.LEASED)
    counted = select(Scan.state, func.count()).where(Scan.queue == queue, Scan.state.in_(states))
    return dict(session.execute(counted.group_by(Scan.state)).all())


def _due(queue: str, state: ScanState, most: int) -> CTE:
    """Return scans of a state whose time has come, the longest overdue first, locked, and what others hold skipped."""
    expired = 1 if state is ScanState.LEASED else 0
    return (
        select(Scan.id, Scan.state, Scan.due_at, literal(expired).label("expired"))
        .where(Scan.queue == queue, Scan.state == state, Scan.due_at <= func.now())
        .order_by(Scan.due_at)
        .limit(most)
        .with_for_update(skip_locked=True)
        # Once, before the update: a plan that asked again for each row would take more than there is room for.
        .cte(f"due_{state}")
        .prefix_with("MATERIALIZED")
    )


def _give_up(session: Session, scan_ids: set[int]) -> None:
    if not scan_ids:
        return
    session.execute(
        update(Scan)
        .where(Scan.id.in_(scan_ids))
        .values(
            state=ScanState.DEAD,
            due_at=None,
            finished_at=func.now(),
            reason=Reason.ATTEMPTS_EXHAUSTED,
            detail=f"{DEAD_AFTER_EXPIRIES} leases expired: every worker that held it died or hung",
        )
    )


def queues_due(session: Session, queues: Sequence[str]) -> list[str]:
    """Return those of the queues in which a scan is due: one statement, whose cost grows with nothing."""
    are_due = session.execute(_any_due(tuple(queues))).one()
    return [queue for queue, is_due in zip(queues, are_due, strict=True) if is_due]


@cache
def _any_due(queues: tuple[str, ...]) -> Select[Any]:
    due: list[Any] = [
        exists().where(Scan.queue == queue, Scan.state.in_(OPEN_STATES), Scan.due_at <= func.now()).label(str(number))
        for number, queue in enumerate(queues)
    ]
    statement: Select[Any] = select(*due)
    return compiled(statement)


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
