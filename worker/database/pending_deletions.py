"""Objects on their way out of the store: taken by whoever deletes them, forgotten once they are gone."""

from collections.abc import Sequence

from sqlalchemy import Interval, cast, delete, func, literal, select, update

from worker.database.session import Database
from worker.database.tables import DoomedObject

_TRY_AGAIN = "1 minute"


class PendingDeletions:
    """The table of doomed objects."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, most: int) -> Sequence[DoomedObject]:
        """Take what is due; what is not forgotten comes due again in a minute."""
        due = (
            select(DoomedObject.id)
            .where(DoomedObject.due_at <= func.now())
            .order_by(DoomedObject.due_at)
            .limit(most)
            .with_for_update(skip_locked=True)
            .cte("due")
            .prefix_with("MATERIALIZED")
        )
        again = func.now() + cast(literal(_TRY_AGAIN), Interval)
        taken = update(DoomedObject).where(DoomedObject.id.in_(select(due.c.id))).values(due_at=again)
        with self._database.transaction() as session:
            return session.scalars(taken.returning(DoomedObject)).all()

    def forget(self, doomed_id: int) -> None:
        """Forget an object that is gone."""
        with self._database.transaction() as session:
            session.execute(delete(DoomedObject).where(DoomedObject.id == doomed_id))
