"""Searches of the feed that people keep: their own, and those that leads keep for the team."""

from collections.abc import Mapping, Sequence

from sqlalchemy import delete, func, or_, select

from worker.database.session import Database
from worker.database.tables import SavedView
from worker.errors import AssayError

MOST_VIEWS = 50


class TooManyViewsError(AssayError):
    """There are fifty saved views already; remove one first."""


class SavedViews:
    """The table of saved searches."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, key_id: int) -> Sequence[SavedView]:
        """Return the views of a key and those of the team, by name."""
        mine = or_(SavedView.api_key_id == key_id, SavedView.api_key_id.is_(None))
        with self._database.transaction() as session:
            return session.scalars(
                select(SavedView).where(mine).order_by(func.lower(SavedView.name), SavedView.id)
            ).all()

    def add(self, key_id: int | None, name: str, query: Mapping[str, str]) -> None:
        """Keep a search for a key, or for the team where it is None.

        Raises:
            TooManyViewsError: there are :data:`MOST_VIEWS` already.
        """
        whose = SavedView.api_key_id.is_(None) if key_id is None else SavedView.api_key_id == key_id
        with self._database.transaction() as session:
            if (session.scalar(select(func.count()).select_from(SavedView).where(whose)) or 0) >= MOST_VIEWS:
                raise TooManyViewsError
            session.add(SavedView(name=name, query=dict(query), api_key_id=key_id))

    def remove(self, view_id: int, key_id: int, *, of_team: bool) -> bool:
        """Forget a view of a key, or with ``of_team`` one of the team; False where there is none of that id."""
        mine = SavedView.api_key_id == key_id
        whose = or_(mine, SavedView.api_key_id.is_(None)) if of_team else mine
        gone = delete(SavedView).where(SavedView.id == view_id, whose).returning(SavedView.id)
        with self._database.transaction() as session:
            return session.scalar(gone) is not None
