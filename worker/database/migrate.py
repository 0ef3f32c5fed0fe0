"""Brings the database to the newest migration; safe to call from several processes at once."""

from importlib.resources import files

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from worker.database.session import Database
from worker.errors import AssayError

# Any number will do as long as nobody else takes it: it spells "assay".
_LOCK = 0x6173736179
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


def upgrade(database: Database, revision: str = "head") -> None:
    """Run what is missing up to ``revision``, one process at a time; a database of a newer release stays as it is.

    Raises:
        TooOldError: the database stands before the first migration of this release.
        DatabaseDownError: the server is out of reach.
    """
    with database.transaction() as session:
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        if revision != "head" or pending(database):
            command.upgrade(configuration(database), revision)


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
