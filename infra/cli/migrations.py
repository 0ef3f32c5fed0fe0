"""Brings a database to this release: its migrations, and the rights of its roles on the tables."""

from worker.database import migrate
from worker.database.roles import RolesError, establish_roles
from worker.database.session import Database


def migrate_with_roles(database: Database) -> str:
    """Migrate, and make the roles where that is allowed; return what was done, for people."""
    migrate.upgrade(database)
    try:
        establish_roles(database)
    except RolesError as error:
        return f"the database is at the newest migration; without roles of its own: {error.detail}"
    return "the database is at the newest migration, and its roles have their rights"
