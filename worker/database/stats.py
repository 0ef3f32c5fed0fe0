"""Figures of the whole: how many scans stand where, what the verdicts are, what waits and since when."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, literal, select, text, union_all

from worker.database.due_scans import backlog
from worker.database.images import BULK_QUEUE, LIVE_QUEUE
from worker.database.served import QUIETLY_REJECTED
from worker.database.session import Database
from worker.database.tables import Image, Scan, ScanState, Verdict
from worker.decisions.vocabulary import VerdictValue


@dataclass(frozen=True)
class Backlog:
    """Open scans of a queue and the age in seconds of the oldest."""

    scans: int
    oldest_seconds: float


@dataclass(frozen=True)
class Stats:
    """Figures at one moment; every state, verdict and queue is named, zeros included."""

    scans: Mapping[ScanState, int]
    verdicts: Mapping[VerdictValue, int]
    backlog: Mapping[str, Backlog]


class Figures:
    """Counts; some tens of milliseconds for millions of rows, so who asks often remembers the answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __call__(self, window: timedelta) -> Stats:
        """Return the figures, the verdicts being those made within ``window`` from now, challengers' left out."""
        # One statement, for what commits between two would make the figures disagree.
        rejected = select(literal(ScanState.REJECTED.value), func.count()).select_from(Scan).join(Image)
        rejected = rejected.where(Scan.state == ScanState.REJECTED, ~QUIETLY_REJECTED, Image.erased_at.is_(None))
        others = select(Scan.state, func.count()).where(Scan.state != ScanState.REJECTED).group_by(Scan.state)
        by_state = union_all(others, rejected)
        recent = Verdict.created_at >= func.now() - window
        by_verdict = select(Verdict.verdict, func.count()).where(recent, Verdict.shadow.is_(False))
        with self._database.transaction() as session:
            states = dict(session.execute(by_state).all())
            verdicts = dict(session.execute(by_verdict.group_by(Verdict.verdict)).all())
            queues = {queue: Backlog(*backlog(session, queue)) for queue in (LIVE_QUEUE, BULK_QUEUE)}
        return Stats(
            {state: states.get(state, 0) for state in ScanState},
            {value: verdicts.get(value, 0) for value in VerdictValue},
            queues,
        )

    def sources(self, limit: int) -> Sequence[str]:
        """Return the sources that have verdicts, in order, at most ``limit``; one look at the index for each."""
        with self._database.transaction() as session:
            return session.scalars(_SOURCES, {"most": limit}).all()


# Postgres has no skip scan; this walks from one source to the next.
_SOURCES = text("""
WITH RECURSIVE walk (source, seen) AS (
  (SELECT source, 1 FROM verdict WHERE NOT shadow ORDER BY source LIMIT 1)
  UNION ALL
  SELECT (SELECT source FROM verdict WHERE NOT shadow AND source > walk.source ORDER BY source LIMIT 1), seen + 1
  FROM walk WHERE walk.source IS NOT NULL AND seen < :most
)
SELECT source FROM walk WHERE source IS NOT NULL
""")
