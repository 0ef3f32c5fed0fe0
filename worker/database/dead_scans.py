"""Dead scans: those whose attempts ran out, or that took workers down."""

from sqlalchemy import func, select, update
from sqlalchemy.orm import aliased

from worker.database.audit import Actor, record
from worker.database.session import Database
from worker.database.tables import EVIDENCE_KINDS, OPEN_STATES, Image, Scan, ScanState


class DeadScans:
    """Dead scans, which wait for a person."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def replay(self, actor: Actor, scan_id: int) -> bool:
        """Queue a dead scan again with all its attempts; False when it is not dead, or its evidence is on its way.

        Expired leases stay counted: an image that took two workers down still
        runs alone.
        """
        other = aliased(Scan)
        asked_again = select(other.id).where(
            other.image_pk == Scan.image_pk,
            other.bundle_version.is_not_distinct_from(Scan.bundle_version),
            other.kind == Scan.kind,
            other.state.in_(OPEN_STATES),
        )
        queued = (
            update(Scan)
            .where(Scan.id == scan_id, Scan.state == ScanState.DEAD)
            .where(Scan.kind.not_in(EVIDENCE_KINDS) | ~asked_again.exists())
            .where(select(Image.id).where(Image.id == Scan.image_pk, Image.erased_at.is_(None)).exists())
            .values(state=ScanState.QUEUED, attempts=0, due_at=func.now(), lease_token=None)
            .values(reason=None, detail=None, finished_at=None)
            .returning(Scan.id)
        )
        with self._database.transaction() as session:
            done = session.scalar(queued) is not None
            if done:
                record(session, actor, "scan.replay", f"scan:{scan_id}")
        return done
