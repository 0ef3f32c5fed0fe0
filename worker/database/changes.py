"""The feed of changes: numbered after their commits by one writer, read on from a number.

Ids are given when a row is written, and transactions commit in any order: whoever read by ids would pass over a row
that commits late. So a number is given to what is committed, by one writer at a time, whose transactions come one after
the other; what a reader sees grows at its end alone.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from sqlalchemy import delete, exists, func, select, text

from worker.database.change_facts import load_facts
from worker.database.driver_statement import DriverStatement
from worker.database.event_messages import ErasedError, content_of
from worker.database.session import Database
from worker.database.tables import Change
from worker.database.webhook_endpoints import Event
from worker.errors import AssayError

# Of one transaction: short, and little is done again when it breaks.
AT_ONCE = 5000
_ALONE = text("SELECT pg_advisory_xact_lock(hashtext('assay.changes'))")
_NUMBER = text(
    """
WITH waiting AS MATERIALIZED (
  SELECT id FROM change WHERE number IS NULL ORDER BY id LIMIT :most
), numbered AS (
  SELECT id, (SELECT coalesce(max(number), 0) FROM change) + row_number() OVER (ORDER BY id) AS number FROM waiting
)
UPDATE change SET number = numbered.number FROM numbered WHERE change.id = numbered.id
"""
)
_ANY_WAITS = DriverStatement(select(exists().where(Change.number.is_(None))))


class ExpiredError(AssayError):
    """What follows this place in the feed is kept no more, or the feed never came to it."""


@dataclass(frozen=True)
class ChangePage:
    """Some of the feed.

    Attributes:
        items: number and content of each, in order; what was erased is left out.
        last: the number to go on from, whether there are items or not.
        more: whether a further page is there already.
    """

    items: Sequence[tuple[int, dict[str, Any]]]
    last: int
    more: bool


class Changes:
    """The table of changes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all_numbered(self) -> bool:
        """Tell whether all that is committed has its number."""
        return not self._database.fetch_value(_ANY_WAITS)

    def number_some(self) -> int:
        """Number what is committed and has no number yet, at most some thousand; return how many."""
        with self._database.transaction() as session:
            session.execute(_ALONE)
            # A statement of its own: it sees all that former writers have committed.
            return int(session.execute(_NUMBER, {"most": AT_ONCE}).rowcount)  # type: ignore[attr-defined]

    def newest(self) -> int:
        """Return the number that the feed ends with now; 0 where it is empty."""
        with self._database.statement() as session:
            return int(session.scalar(select(func.coalesce(func.max(Change.number), 0))) or 0)

    def page(self, after: int | None, *, limit: int, events: Collection[Event] = ()) -> ChangePage:
        """Return what follows a number, in order.

        Args:
            after: the number that the page before ended with; None for the oldest that is kept.
            limit: most changes looked at; erased ones among them are left out.
            events: kinds that are wanted; all where there are none.

        Raises:
            ExpiredError: of what follows, something is kept no more, or so high a number was never given.
        """
        with self._database.transaction() as session:
            # Both statements see one state: retention must not take away in between what the first one saw.
            session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            ends = select(func.coalesce(func.min(Change.number), 1), func.coalesce(func.max(Change.number), 0))
            oldest, newest = (int(end or 0) for end in session.execute(ends).one())
            if after is not None and not oldest - 1 <= after <= newest:
                raise ExpiredError
            start = oldest - 1 if after is None else after
            following = select(Change).where(Change.number > start, Change.number <= newest)
            if events:
                following = following.where(Change.event.in_(events))
            rows = session.scalars(following.order_by(Change.number).limit(limit + 1)).all()
        more, rows = len(rows) > limit, rows[:limit]
        last = rows[-1].number if more else None
        return ChangePage(self._contents(rows), last=last or max(start, newest), more=more)

    def _contents(self, rows: Sequence[Change]) -> list[tuple[int, dict[str, Any]]]:
        """Put the contents together, but those of erased images."""
        facts, items = load_facts(self._database, rows), []
        for row in rows:
            with suppress(ErasedError):
                items.append((row.number or 0, content_of(facts, row.event, row.payload, row.created_at)))
        return items

    def drop(self, days: int, *, most: int) -> int:
        """Drop the oldest of the feed that are older than so many days; return how many.

        The newest stays whatever its age: numbers go on from it, and readers see that they are up to date.
        """
        age = func.now() - func.make_interval(0, 0, 0, days)
        newest = select(func.max(Change.number)).scalar_subquery()
        oldest = select(Change.number, Change.created_at < age).where(Change.number < newest)
        with self._database.transaction() as session:
            rows = session.execute(oldest.order_by(Change.number).limit(most)).all()
            old = [number for number, _ in takewhile(lambda row: bool(row[1]), rows)]
            if old:
                session.execute(delete(Change).where(Change.number <= old[-1]))
        return len(old)
