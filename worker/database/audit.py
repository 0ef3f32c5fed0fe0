"""The audit trail: written in the transaction of the change that it tells of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from worker.database.session import Database
from worker.database.tables import AuditEntry


@dataclass(frozen=True)
class Actor:
    """Who makes a change: a key of the API, or a person at the command line.

    Attributes:
        name: of the key or the person.
        api_key_id: of the key.
        request_id: of the request.
        delegates: whether the names of reviewers that it passes on count, where they are registered.
        hurries: whether its images may go before those of others.
    """

    name: str
    api_key_id: int | None = None
    request_id: str | None = None
    delegates: bool = False
    hurries: bool = False


def record(session: Session, actor: Actor, action: str, target: str, **detail: Any) -> None:
    """Add an entry to the audit trail, in the caller's transaction.

    Args:
        session: of the transaction that makes the change.
        actor: who makes it.
        action: noun and verb, such as `label.add`.
        target: noun and id, such as `image:7`; never the platform's own id of an image.
        detail: what else is worth knowing; no secrets, no identifiers of images.
    """
    row = {"actor": actor.name, "api_key_id": actor.api_key_id, "request_id": actor.request_id}
    session.execute(insert(AuditEntry).values(**row, action=action, target=target, detail=detail))


class Audit:
    """The trail as it is read."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, actor: Actor, action: str, target: str, **detail: Any) -> None:
        """Add an entry as :func:`record` does, in a transaction of its own."""
        with self._database.transaction() as session:
            record(session, actor, action, target, **detail)

    def page(
        self, *, limit: int, before: int | None = None, action: str | None = None, target: str | None = None
    ) -> Sequence[AuditEntry]:
        """Return entries, newest first, those with ids below ``before``."""
        entries = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(limit)
        if before is not None:
            entries = entries.where(AuditEntry.id < before)
        if action is not None:
            entries = entries.where(AuditEntry.action == action)
        if target is not None:
            entries = entries.where(AuditEntry.target == target)
        with self._database.transaction() as session:
            return session.scalars(entries).all()
