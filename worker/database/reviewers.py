"""Registered reviewers: people whose names a backend may pass on, so that each counts as one voice."""

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from worker.database.audit import Actor, record
from worker.database.session import Database
from worker.database.tables import ApiKey, Reviewer


class Reviewers:
    """The table of reviewers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> Sequence[Reviewer]:
        """Return every registered reviewer, by name."""
        with self._database.transaction() as session:
            return session.scalars(select(Reviewer).order_by(Reviewer.name)).all()

    def add(self, actor: Actor, name: str) -> Reviewer:
        """Register a reviewer; again changes nothing. Case and spaces around the name do not count."""
        name = one_spelling(name)
        with self._database.transaction() as session:
            new = upsert(Reviewer).values(name=name, created_by=actor.name).on_conflict_do_nothing()
            if session.scalar(new.returning(Reviewer.name)) is not None:
                record(session, actor, "reviewer.add", f"reviewer:{name}")
            return session.get_one(Reviewer, name)

    def remove(self, actor: Actor, name: str) -> bool:
        """Let a name count no more from now on; False where it is not registered. Labels keep what they counted."""
        name = one_spelling(name)
        with self._database.transaction() as session:
            gone = delete(Reviewer).where(Reviewer.name == name).returning(Reviewer.name)
            done = session.scalar(gone) is not None
            if done:
                record(session, actor, "reviewer.remove", f"reviewer:{name}")
        return done


def voice_of(session: Session, actor: Actor, reviewer: str) -> str | None:
    """Return whose word a label is: one voice counts once for a content, however often it speaks.

    A registered reviewer counts by name where the key may pass names on. Any other label is the word of its key; a
    rotated key is the key that it was first. Labels from the command line count by their reviewer's name: None.
    """
    if actor.api_key_id is None:
        return None
    name = one_spelling(reviewer)
    if actor.delegates and session.get(Reviewer, name) is not None:
        return f"reviewer:{name}"
    first = session.scalar(select(ApiKey.first_key_id).where(ApiKey.id == actor.api_key_id))
    return f"key:{first or actor.api_key_id}"


def one_spelling(name: str) -> str:
    """Return a name as it is compared."""
    return name.strip().lower()
