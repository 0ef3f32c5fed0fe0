"""Statements that every image pays for, made once and given to the driver as they are.

The driver needs a twentieth of a millisecond for one. SQLAlchemy adds five times as much to each, and as much again
where rows become objects.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import psycopg
from sqlalchemy import ClauseElement, Connection
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.orm import Session

_DIALECT = PGDialect_psycopg()  # type: ignore[no-untyped-call]
NO_VALUES: Mapping[str, Any] = {}


class DriverStatement:
    """A statement whose text is known before anybody runs it; many threads may share it."""

    def __init__(self, statement: ClauseElement, columns: Collection[str] | None = None) -> None:
        """Make the text.

        Args:
            statement: one whose values are fixed or named by ``bindparam``, and no list after an ``IN``.
            columns: those that an insert gives values for, where it does not name them itself.
        """
        made: Any = statement.compile(dialect=_DIALECT, column_keys=list(columns) if columns is not None else None)
        processes = {
            name: bind.type.dialect_impl(_DIALECT).bind_processor(_DIALECT) for bind, name in made.bind_names.items()
        }
        self._text = made.string
        # A name that needs a value and gets none is an error, not a NULL.
        self._fixed = {name: value for name, value in made.params.items() if not made.binds[name].required}
        self._processes: dict[str, Callable[[Any], Any]] = {name: one for name, one in processes.items() if one}

    def rows(self, session: Session | Connection, values: Mapping[str, Any] = NO_VALUES) -> list[tuple[Any, ...]]:
        """Run it in the caller's transaction and return its rows, of the driver's own types; none where it gives none.

        Args:
            session: of the transaction, or its connection.
            values: by name, as SQLAlchemy takes them.

        Raises:
            sqlalchemy.exc.DBAPIError: as any other statement does.
        """
        sent = {**self._fixed, **values}
        for name, process in self._processes.items():
            sent[name] = process(sent[name])
        connection = session if isinstance(session, Connection) else session.connection()
        driver: Any = connection.connection.driver_connection
        try:
            cursor = driver.execute(self._text, sent)
            # Not its description, which makes an object for each column.
            return cursor.fetchall() if cursor.pgresult.nfields else []
        except psycopg.Error as error:
            # What SQLAlchemy calls it, and what it does to its pool where the server is lost.
            connection._handle_dbapi_exception(error, self._text, None, None, None)  # noqa: SLF001 - there is no other

    def scalar(self, session: Session | Connection, values: Mapping[str, Any] = NO_VALUES) -> Any:
        """Return the first value of the first row, None where there is no row; as :meth:`rows`."""
        rows = self.rows(session, values)
        return rows[0][0] if rows else None
