"""Lets go of stored features that are too old, a little at a time."""

from sqlalchemy import Interval, cast, delete, func, literal, select, tuple_

from worker.database.session import Database
from worker.database.tables import Feature


class OldFeatures:
    """Deletes features that are older than so many days."""

    def __init__(self, database: Database, days: int, *, at_once: int = 10_000) -> None:
        """Keep what is needed; ``days`` 0 keeps none."""
        self._database = database
        self._days = days
        self._at_once = at_once

    def __call__(self) -> int:
        """Delete what is too old, some at a time; return how many there were."""
        age = cast(literal(f"{self._days} days"), Interval)
        key = tuple_(Feature.image_pk, Feature.bundle_version)
        old = select(Feature.image_pk, Feature.bundle_version).where(Feature.created_at <= func.now() - age)
        some = delete(Feature).where(key.in_(old.order_by(Feature.created_at).limit(self._at_once)))
        dropped = 0
        while True:
            with self._database.transaction() as session:
                count = len(session.execute(some.returning(Feature.image_pk)).all())
            dropped += count
            if count < self._at_once:
                return dropped
