"""Brings the database to the newest migration; safe to call from several processes at once, and beside work.

Each migration is a transaction of its own. Who waits for a lock on a table makes all others wait behind it, and may
wait for one who waits for it. So a migration waits two seconds at most (`migrations/env.py`), then it is undone and
tried again.
"""

import time
from importlib.resources import files

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg.errors import DeadlockDetected, LockNotAvailable
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from worker.database.session import Database
from worker.errors import AssayError

# Any number will do as long as nobody else takes it: it spells "assay".
_LOCK = 0x6173736179
_PATIENCE_SECONDS = 300.0
# Long enough for those who waited behind the migration to get through.
_PAUSE_SECONDS = 0.5
_OLDEST = """
SELECT format('process %s (%s, %s, since %s)', pid, application_name, state, to_char(xact_start, 'HH24:MI:SS TZ'))
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
  AND EXISTS (SELECT FROM pg_locks WHERE pg_locks.pid = pg_stat_activity.pid AND relation IS NOT NULL AND granted)
ORDER BY xact_start LIMIT 1
"""
# Revisions before the one that now makes the whole schema; their migrations are gone.
_BEFORE_THE_FIRST = frozenset(
    f"2026_11_21_{act}"
    for act in (
        "first_tables",
        "serve_platforms",
        "steady_webhooks",
        "search_covers",
        "challengers",
        "label_duplicates",
        "training_leases",
        "console_sessions",
        "evidence",
    )
)


def configuration(database: Database) -> Config:
    """Return Alembic's configuration for this database and the migrations of this release."""
    config = Config()
    # Alembic's options are interpolated: a per cent sign in the path stands for itself when doubled.
    config.set_main_option("script_location", str(files("migrations")).replace("%", "%%"))
    config.set_main_option("file_template", "%%(rev)s")
    config.attributes["engine"] = database.engine
    return config


def upgrade(database: Database, revision: str = "head", patience: float = _PATIENCE_SECONDS) -> None:
    """Run what is missing up to ``revision``, one process at a time; a database of a newer release stays as it is.

    Args:
        database: reached by the role that owns its tables.
        revision: to stop at.
        patience: seconds to go on trying while others hold the tables.

    Raises:
        TooOldError: the database stands before the first migration of this release.
        TablesHeldError: others held a table all the time; what was migrated before stays.
        DatabaseDownError: the server is out of reach.
    """
    with database.transaction() as session:
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        if revision != "head" or pending(database):
            _upgrade_beside_work(database, revision, time.monotonic() + patience)


def _upgrade_beside_work(database: Database, revision: str, deadline: float) -> None:
    while True:
        try:
            command.upgrade(configuration(database), revision)
        except OperationalError as error:
            if not isinstance(error.orig, DeadlockDetected | LockNotAvailable):
                raise
            if time.monotonic() > deadline:
                raise TablesHeldError(_held_by(database)) from error
            time.sleep(_PAUSE_SECONDS)
        else:
            return


def _held_by(database: Database) -> str:
    with database.statement() as session:
        oldest = session.scalar(text(_OLDEST)) or "it ended just now"
    return f"{TablesHeldError.__doc__} The oldest transaction: {oldest}."


class TablesHeldError(AssayError):
    """Others hold a table that a migration changes; end their transaction, then run `assay migrate` again."""


class NotMigratedError(AssayError):
    """The database lacks a migration of this release; run `assay migrate`."""


class TooOldError(AssayError):
    """The database is older than release 0.1.0; run `assay migrate` of release 0.1.0 first, then this release's."""


def require_migrated(database: Database) -> None:
    """Raise NotMigratedError unless the database is at the newest migration."""
    if pending(database):
        raise NotMigratedError


def pending(database: Database) -> bool:
    """Tell whether the database lacks a migration of this release; one that this release does not know is newer.

    Raises:
        TooOldError: the database stands before the first migration of this release.
        DatabaseDownError: the server is out of reach.
    """
    behind = [script.revision for script in ScriptDirectory.from_config(configuration(database)).walk_revisions()][1:]
    with database.transaction() as session:
        current = MigrationContext.configure(session.connection()).get_current_revision()
    if current in _BEFORE_THE_FIRST:
        raise TooOldError
    return current is None or current in behind
