"""Connections to Postgres: one engine a process, one short transaction a step."""

import select as wires
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar

import psycopg
from sqlalchemy import URL, ClauseElement, Engine, create_engine, event, make_url, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import ArgumentError, DBAPIError, InvalidatePoolError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session, sessionmaker

from worker.database.driver_statement import NO_VALUES, DriverStatement
from worker.errors import AssayError, TransientError

# A server whose machine is lost says no word more. Linux alone would wait two hours for the answer to a query, and a
# quarter of an hour for what was sent to arrive; so the connection is asked whether it lives: half a minute at most.
_NOTICES_A_LOSS: dict[str, Any] = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}

_DRIVER = "postgresql+psycopg"

# What the driver says → what an operator may read; its own words hold addresses and names.
_CAUSES = (
    ("certificate", "PostgreSQL's certificate is refused; check sslrootcert in ASSAY_DATABASE_URL and the host."),
    ("password", "PostgreSQL refuses the password in ASSAY_DATABASE_URL; `assay setup` makes the roles anew."),
    ("too many clients", "PostgreSQL has no connection left; raise its max_connections or run fewer processes."),
    ("connection slots", "PostgreSQL has no connection left; raise its max_connections or run fewer processes."),
    ("deadlock", "PostgreSQL ended a transaction that others waited for, and that waited for them; try again."),
    ("lock timeout", "PostgreSQL ended a transaction that had waited too long for another; try again."),
    ("statement timeout", "PostgreSQL ended a statement that took longer than its statement_timeout."),
    ("starting up", "PostgreSQL is starting; it answers soon."),
    ("QueuePool limit", "This process has no connection to PostgreSQL left; each has been busy for ten seconds."),
)

_LOCK = DriverStatement(text("SELECT pg_try_advisory_lock(hashtext(:name))"))
_UNLOCK = DriverStatement(text("SELECT pg_advisory_unlock(hashtext(:name))"))

_Statement = TypeVar("_Statement", bound=ClauseElement)


class DatabaseDownError(TransientError):
    """PostgreSQL does not answer; check ASSAY_DATABASE_URL and that the server runs."""


class DatabaseUrlError(AssayError):
    """ASSAY_DATABASE_URL must be an address such as postgresql+psycopg://user:password@host:5432/database."""


class LongTransaction:
    """A transaction that outlives a call: what its caller does meanwhile through the database is part of it.

    The steps of one request may run in several threads, one after the other. Each is undone by itself where it raises.
    """

    def __init__(self, database: "Database", session: Session) -> None:
        self.database = database
        self.session = session

    def join(self) -> None:
        """Let transactions of this database be parts of this one, in this context and in threads that it starts."""
        _JOINED.set(self)

    def end(self, *, commit: bool) -> None:
        """Commit or roll back all that was done.

        Raises:
            DatabaseDownError: the connection broke; nothing was committed.
        """
        with outages_named():
            try:
                if commit:
                    self.session.commit()
            finally:
                self.session.close()

    @staticmethod
    def leave() -> None:
        """Let transactions in this context be their own again."""
        _JOINED.set(None)


_JOINED: ContextVar[LongTransaction | None] = ContextVar("joined", default=None)


class Database:
    """Hands out transactions; a lost connection becomes a transient error."""

    def __init__(self, engine: Engine) -> None:
        """Keep the engine; nothing connects until the first transaction."""
        self.engine = engine
        self._autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._sessions = sessionmaker(engine, expire_on_commit=False)
        self._single = sessionmaker(self._autocommit, expire_on_commit=False)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Yield a session that commits at the end, or rolls back if anything is raised.

        Within a :class:`LongTransaction` that was joined it is a step of that one.

        Raises:
            DatabaseDownError: the server is out of reach or the connection broke.
        """
        joined = _JOINED.get()
        if joined is not None and joined.database is self:
            with outages_named(), joined.session.begin_nested():
                yield joined.session
        else:
            with outages_named(), self._sessions.begin() as session:
                yield session

    @contextmanager
    def statement(self) -> Iterator[Session]:
        """Yield a session for one statement, which is a transaction by itself: one round trip instead of three.

        Within a :class:`LongTransaction` that was joined it is a step of that one. Raises as :meth:`transaction`.
        """
        joined = _JOINED.get()
        if joined is not None and joined.database is self:
            with self.transaction() as session:
                yield session
        else:
            with outages_named(), self._single() as session:
                yield session

    def fetch_rows(self, statement: DriverStatement, values: Mapping[str, Any] = NO_VALUES) -> list[tuple[Any, ...]]:
        """Run a statement that is a transaction by itself, without a session around it, and return its rows.

        Within a :class:`LongTransaction` that was joined it is a step of that one. Raises as :meth:`transaction`.
        """
        joined = _JOINED.get()
        if joined is not None and joined.database is self:
            with self.transaction() as session:
                return statement.rows(session, values)
        with outages_named(), self._autocommit.connect() as connection:
            return statement.rows(connection, values)

    def fetch_value(self, statement: DriverStatement, values: Mapping[str, Any] = NO_VALUES) -> Any:
        """Return the first value of the first row, None where there is no row; as :meth:`fetch_rows`."""
        rows = self.fetch_rows(statement, values)
        return rows[0][0] if rows else None

    def begin(self) -> LongTransaction:
        """Return a transaction that is open until its caller ends it."""
        return LongTransaction(self, self._sessions())

    @contextmanager
    def lock(self, name: str) -> Iterator[bool]:
        """Hold a named lock that one process at a time can have; yields False where another has it.

        It ends with its connection, so nobody who died holds it. No transaction is open meanwhile.

        Raises:
            DatabaseDownError: as :meth:`transaction`.
        """
        key = {"name": f"assay.{name}"}
        with outages_named(), self._autocommit.connect() as connection:
            held = bool(_LOCK.scalar(connection, key))
            try:
                yield held
            finally:
                if held:
                    _UNLOCK.rows(connection, key)


@contextmanager
def outages_named() -> Iterator[None]:
    """Raise DatabaseDownError in place of what the driver says of a lost connection."""
    try:
        yield
    except (OperationalError, PoolTimeoutError) as error:
        raise DatabaseDownError(cause_of(str(error.__cause__ or error))) from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise DatabaseDownError from error
        raise


def cause_of(driver: str) -> str | None:
    """Return what to tell operators of what the driver said; None where that says no more than the error itself."""
    return next((words for part, words in _CAUSES if part in driver), None)


def compiled(statement: _Statement) -> _Statement:
    """Return a statement that many threads may share.

    What SQLAlchemy finds out of a statement when it is compiled for the first time it keeps on the statement itself;
    two threads that do so at once spoil it for both. So it is compiled here, before anybody shares it.
    """
    statement.compile(dialect=postgresql.dialect())  # type: ignore[no-untyped-call]
    return statement


def connect(url: str, *, pool_size: int = 8) -> Database:
    """Return a database for a SQLAlchemy URL; ``pool_size`` is the most connections held.

    Raises:
        DatabaseUrlError: the URL is none, or of another database or driver.
    """
    engine = create_engine(
        _checked(url),
        pool_size=pool_size,
        max_overflow=4,
        pool_timeout=10,
        connect_args={"connect_timeout": 5, "application_name": "assay", **_NOTICES_A_LOSS},
    )
    event.listen(engine, "checkout", partial(_ask_if_it_spoke, engine))
    return Database(engine)


def _ask_if_it_spoke(engine: Engine, connection: Any, _record: object, _fairy: object) -> None:
    """Let the pool replace its connections once their server has closed one.

    To ask each time would cost every transaction a round trip. But a server says nothing on an idle connection unless
    it says goodbye, and keepalives end one whose machine is lost; both are seen here without asking.
    """
    wire = wires.poll()
    wire.register(connection.fileno(), wires.POLLIN)
    if not wire.poll(0):
        return
    try:
        engine.dialect.do_ping(connection)
    except psycopg.Error as error:
        raise InvalidatePoolError from error


def open_listening(url: str) -> "psycopg.Connection[tuple[Any, ...]]":
    """Open a connection for LISTEN beside the pool, which would hand it to others.

    Raises:
        DatabaseUrlError: as :func:`connect`.
        psycopg.OperationalError: the server is out of reach.
    """
    plain = _checked(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(plain, autocommit=True, connect_timeout=5, application_name="assay", **_NOTICES_A_LOSS)


def _checked(url: str) -> URL:
    # What is wrong is never shown: it may hold a password.
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        raise DatabaseUrlError from None
    if address.drivername != _DRIVER:
        raise DatabaseUrlError
    return address
