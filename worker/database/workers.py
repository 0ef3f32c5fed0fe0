"""Workers as the dispatcher sees them: which are here, and what becomes of the scans of one that is lost."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.orm import Session

from worker.database.driver_statement import DriverStatement
from worker.database.session import Database
from worker.database.tables import Scan, ScanState, Worker

# The first key of the advisory locks that workers hold; the second is the worker's id.
WORKER_LOCKS = 0x61737361
_SIGNS = DriverStatement(
    text(
        "SELECT id, seen_at, EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
        "AND classid::bigint = :locks AND objid::bigint = worker.id AND objsubid = 2) FROM worker"
    )
)


@dataclass(frozen=True)
class Sign:
    """What shows that a worker lives.

    Attributes:
        seen_at: its last heartbeat.
        locked: its process holds its lock; false for one that ended, however it did.
    """

    seen_at: datetime
    locked: bool


class Workers:
    """The table of workers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def signs(self) -> Mapping[int, Sign]:
        """Return what shows of each worker that it lives, by its id."""
        rows = self._database.fetch_rows(_SIGNS, {"locks": WORKER_LOCKS})
        return {worker_id: Sign(seen_at, locked) for worker_id, seen_at, locked in rows}

    def end(self, worker_ids: Collection[int]) -> int:
        """Forget workers that are lost, and make due at once what they held; return how many leases end.

        What was dispatched and that nobody has taken is due as well, for some of it was in their hands. The dispatcher
        sends again as much as the broker lacks.
        """
        with self._database.transaction() as session:
            gone = session.scalars(delete(Worker).where(Worker.id.in_(worker_ids)).returning(Worker.id)).all()
            held = update(Scan).where(Scan.state == ScanState.LEASED, Scan.worker_id.in_(gone))
            ended = session.scalars(held.values(due_at=func.now()).returning(Scan.id)).all()
            if gone:
                _make_due(session)
                session.execute(select(func.pg_notify("assay_scan_queued", "")))
        return len(ended)

    def bulk_places(self) -> int:
        """Return how many scans of history all workers together have places for."""
        with self._database.statement() as session:
            return session.scalar(select(func.coalesce(func.sum(Worker.bulk_scans), 0))) or 0


def _make_due(session: Session) -> None:
    """Make due what is dispatched, and keep its order: the oldest messages were taken first."""
    waits = (Scan.state == ScanState.DISPATCHED, Scan.due_at > func.now())
    latest = select(func.max(Scan.due_at)).where(*waits).scalar_subquery()
    session.execute(update(Scan).where(*waits).values(due_at=Scan.due_at - (latest - func.now())))
