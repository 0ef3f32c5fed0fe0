"""Exports in Postgres: asked for, leased, brought on file by file; a worker that dies leaves the rest to the next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import delete, func, insert, select, text, type_coerce, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from worker.database.audit import Actor, record
from worker.database.clock import from_now
from worker.database.driver_statement import DriverStatement
from worker.database.session import Database
from worker.database.tables import DoomedObject, Export, ExportContent, ExportFormat, ExportState

# Files are kept so long after they are done; an image that is erased meanwhile stays in them until then.
KEPT_DAYS = 7
MOST_ATTEMPTS = 5
# Longer than one piece takes.
LEASE_SECONDS = 300.0
_OPEN = (ExportState.QUEUED, ExportState.RUNNING)
_ANY_DUE = DriverStatement(
    text("SELECT EXISTS (SELECT FROM export WHERE state IN ('queued', 'running') AND due_at <= now())")
)


@dataclass(frozen=True)
class Place:
    """Where the rows of an export have come to: of the last one its time and id."""

    at: datetime
    id: int


@dataclass(frozen=True)
class ExportLease:
    """An export in one worker's hand."""

    export: Export
    token: UUID


class Exports:
    """The table of exports."""

    def __init__(self, database: Database, artifact_bucket: str) -> None:
        self._database = database
        self._bucket = artifact_bucket

    def add(self, actor: Actor, content: ExportContent, form: ExportFormat, since: datetime, until: datetime) -> Export:
        """Ask for an export; a worker makes it."""
        with self._database.transaction() as session:
            export = Export(content=content, format=form, since=since, until=until, api_key_id=actor.api_key_id)
            session.add(export)
            session.flush()
            session.refresh(export)
            record(session, actor, "export.add", f"export:{export.id}", content=content, format=form)
        return export

    def get(self, export_id: int) -> Export | None:
        """Return one export."""
        with self._database.transaction() as session:
            return session.get(Export, export_id)

    def page(self, *, limit: int, before: int | None = None) -> Sequence[Export]:
        """Return exports, newest first, those with ids below ``before``."""
        page = select(Export).order_by(Export.id.desc()).limit(limit)
        with self._database.transaction() as session:
            return session.scalars(page if before is None else page.where(Export.id < before)).all()

    def remove(self, actor: Actor, export_id: int) -> bool:
        """Remove an export with its files, whether it is done or not; False when it is unknown."""
        with self._database.transaction() as session:
            gone = self._drop(session, [export_id])
            if gone:
                record(session, actor, "export.remove", f"export:{export_id}")
        return bool(gone)

    def drop(self, days: int, *, most: int) -> int:
        """Drop exports that ended so many days ago, with their files; return how many."""
        age = func.now() - timedelta(days=days)
        old = select(Export.id).where(Export.finished_at < age).order_by(Export.id).limit(most)
        with self._database.transaction() as session:
            return len(self._drop(session, session.scalars(old).all()))

    def take(self) -> ExportLease | None:
        """Take the export that is due for the longest time, under a lease."""
        if not self._database.fetch_value(_ANY_DUE):  # all that a worker asks while nothing happens
            return None
        token = uuid4()
        due = (
            select(Export.id)
            .where(Export.state.in_(_OPEN), Export.due_at <= func.now())
            .order_by(Export.due_at)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        leased = {"state": ExportState.RUNNING, "lease_token": token, "due_at": from_now(LEASE_SECONDS)}
        taken = update(Export).where(Export.id == due.scalar_subquery()).values(**leased).returning(Export)
        with self._database.statement() as session:
            export = session.scalar(taken)
        return None if export is None else ExportLease(export, token)

    def add_file(self, lease: ExportLease, file: Mapping[str, Any], place: Place | None, *, last: bool) -> bool:
        """Write down a file with the place that its rows end at, and renew the lease, or end the export.

        Returns:
            False where another worker holds the export, or it was removed.
        """
        going = {"due_at": from_now(LEASE_SECONDS), "attempts": 0}
        end = {"state": ExportState.DONE, "due_at": None, "lease_token": None, "finished_at": func.now()}
        reached = {"place_at": place.at, "place_id": place.id} if place else {}
        written = _mine(lease).values(
            files=Export.files.concat(type_coerce([dict(file)], JSONB)),
            rows=Export.rows + file["rows"],
            **(end if last else going),
            **reached,
        )
        with self._database.statement() as session:
            return session.scalar(written.returning(Export.id)) is not None

    def fail(self, lease: ExportLease, error: str, *, ours: bool = False) -> None:
        """Give an export back after an error, or end it after the last attempt; what lies in files stays.

        Args:
            lease: of the attempt.
            error: one line for people; no secrets.
            ours: a part of Assay is out of reach; that is waited out and counts as no attempt.
        """
        is_last = not ours and lease.export.attempts + 1 >= MOST_ATTEMPTS
        end = {"state": ExportState.FAILED, "due_at": None, "finished_at": func.now()}
        again = {"due_at": from_now(30.0)}
        values = {"error": error[:500], "attempts": Export.attempts + int(not ours), "lease_token": None}
        with self._database.statement() as session:
            session.execute(_mine(lease).values(**values, **(end if is_last else again)))

    def _drop(self, session: Session, export_ids: Sequence[int]) -> Sequence[int]:
        gone = session.scalars(delete(Export).where(Export.id.in_(export_ids)).returning(Export.id)).all()
        later = func.now() + timedelta(seconds=2 * LEASE_SECONDS)  # a worker may be storing a file right now
        for export_id in gone:
            doomed = {"bucket": self._bucket, "key": prefix_of(export_id), "prefix": True}
            session.execute(insert(DoomedObject).values(**doomed))
            session.execute(insert(DoomedObject).values(**doomed, due_at=later))
        return gone


class OldExports:
    """Exports as retention sees them: they go by an age of their own."""

    def __init__(self, exports: Exports) -> None:
        self._exports = exports

    def drop(self, _days: int, *, most: int) -> int:
        """Drop exports that ended :data:`KEPT_DAYS` ago; return how many."""
        return self._exports.drop(KEPT_DAYS, most=most)


def prefix_of(export_id: int) -> str:
    """Return what the keys of an export's files begin with."""
    return f"exports/{export_id}/"


def _mine(lease: ExportLease) -> Any:
    return update(Export).where(Export.id == lease.export.id, Export.lease_token == lease.token)
