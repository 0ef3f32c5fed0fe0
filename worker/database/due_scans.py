"""Scans that are due, as the dispatcher sees them: taken from their queue, handed back, counted.

Times are the database's own, so processes' clocks do not matter.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    CTE,
    ColumnElement,
    Integer,
    Interval,
    Text,
    bindparam,
    cast,
    exists,
    func,
    literal_column,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.orm import Session

from worker.database.clock import from_now
from worker.database.driver_statement import DriverStatement
from worker.database.session import Database
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
    in_flight = dict(_IN_FLIGHT.rows(session, {"queue": queue}))
    dispatched, leased = in_flight.get(ScanState.DISPATCHED, 0), in_flight.get(ScanState.LEASED, 0)
    share = share_of_round(dispatched=dispatched, leased=leased, messages=messages, bound=max_in_flight)
    values = {"queue": queue, "most": max_in_flight, "new": share.new, "lasts": f"{dispatch_seconds} seconds"}
    taken = [_Taken(*row) for row in _TAKE.rows(session, values)]
    hopeless = {scan.id for scan in taken if scan.lease_expiries >= DEAD_AFTER_EXPIRIES}
    _give_up(session, hopeless)
    waiting = sorted((scan.due_at, scan.id) for scan in taken if scan.state == ScanState.DISPATCHED)
    # A broker gives out the oldest messages first, so those that were lost in workers' hands are the oldest.
    still_there = {scan_id for _, scan_id in waiting[share.again :]}
    return sorted({scan.id for scan in taken} - hopeless - still_there)


class _Taken(NamedTuple):
    id: int
    lease_expiries: int
    state: str  # before it was taken
    due_at: datetime  # likewise


def _due(state: ScanState, most: str) -> CTE:
    """Return scans of a state whose time has come, the longest overdue first, locked, and what others hold skipped.

    They are at most as many as the value of the name `most` says.
    """
    expired = literal_column("1" if state is ScanState.LEASED else "0", Integer)
    return (
        select(Scan.id, Scan.state, Scan.due_at, expired.label("expired"))
        .where(Scan.queue == _QUEUE, Scan.state == _word(state), Scan.due_at <= func.now())
        .order_by(Scan.due_at)
        .limit(bindparam(most, type_=Integer()))
        .with_for_update(skip_locked=True)
        # Once, before the update: a plan that asked again for each row would take more than there is room for.
        .cte(f"due_{state}")
        .prefix_with("MATERIALIZED")
    )


def _word(state: ScanState) -> ColumnElement[str]:
    """Return a state as a part of the statement's text, by which Postgres sees that the index has its rows."""
    return literal_column(f"'{state}'", Text)


_QUEUE: Any = bindparam("queue", type_=Text())
_IN_FLIGHT = DriverStatement(
    select(Scan.state, func.count())
    .where(Scan.queue == _QUEUE, or_(*(Scan.state == _word(one) for one in (ScanState.DISPATCHED, ScanState.LEASED))))
    .group_by(Scan.state)
)
_DUE = union_all(
    select(_due(ScanState.LEASED, "most")),
    select(_due(ScanState.DISPATCHED, "most")),
    select(_due(ScanState.QUEUED, "new")),
).cte("due")
_TAKE = DriverStatement(
    update(Scan)
    .where(Scan.id == _DUE.c.id)
    .values(
        state=ScanState.DISPATCHED,
        lease_token=None,
        due_at=func.now() + cast(bindparam("lasts", type_=Text()), Interval),
        lease_expiries=Scan.lease_expiries + _DUE.c.expired,
    )
    .returning(Scan.id, Scan.lease_expiries, _DUE.c.state, _DUE.c.due_at)
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


def queues_due(database: Database, queues: Sequence[str]) -> list[str]:
    """Return those of the queues in which a scan is due: one statement, whose cost grows with nothing."""
    (are_due,) = database.fetch_rows(_any_due(tuple(queues)))
    return [queue for queue, is_due in zip(queues, are_due, strict=True) if is_due]


@cache
def _any_due(queues: tuple[str, ...]) -> DriverStatement:
    is_open = or_(*(Scan.state == _word(state) for state in OPEN_STATES))
    due: list[Any] = [
        exists().where(Scan.queue == queue, is_open, Scan.due_at <= func.now()).label(str(number))
        for number, queue in enumerate(queues)
    ]
    return DriverStatement(select(*due))


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
