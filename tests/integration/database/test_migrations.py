"""Migrations lead to what the models say, and back, one step at a time."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint, inspect, text

from tests.conftest import Databases
from worker.database.migrate import (
    NotMigratedError,
    TooOldError,
    configuration,
    pending,
    require_migrated,
    upgrade,
)
from worker.database.session import Database, DatabaseDownError, connect
from worker.database.tables import Base

pytestmark = pytest.mark.integration


@pytest.fixture
def empty(databases: Databases) -> Iterator[Database]:
    """A database without tables."""
    url = databases.create()
    database = connect(url.render_as_string(hide_password=False))
    yield database
    database.engine.dispose()
    databases.drop(url)


def schema(database: Database) -> list[tuple[Any, ...]]:
    """Everything a migration made, so that there and back can be compared."""
    with database.engine.connect() as connection:
        return [
            tuple(row)
            for row in connection.execute(
                text(
                    "SELECT 'column', table_name, column_name, data_type, is_nullable, column_default "
                    "FROM information_schema.columns WHERE table_schema = 'public' "
                    "UNION ALL SELECT 'index', tablename, indexname, indexdef, '', '' FROM pg_indexes "
                    "WHERE schemaname = 'public' "
                    "UNION ALL SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), "
                    "'', '' FROM pg_constraint WHERE connamespace = 'public'::regnamespace "
                    "UNION ALL SELECT 'trigger', tgrelid::regclass::text, tgname, pg_get_triggerdef(oid), '', '' "
                    "FROM pg_trigger WHERE NOT tgisinternal "
                    "UNION ALL SELECT 'function', proname, prosrc, '', '', '' FROM pg_proc "
                    "WHERE pronamespace = 'public'::regnamespace ORDER BY 1, 2, 3"
                )
            )
        ]


def test_models_and_migrations_agree(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []


def test_checks_and_partial_indexes_agree_which_alembic_does_not_compare(
    database: Database, databases: Databases
) -> None:
    fresh = connect(databases.create().render_as_string(hide_password=False))
    Base.metadata.create_all(fresh.engine)
    compared = ("index", "constraint")
    by_models = [row for row in schema(fresh) if row[0] in compared]
    by_migrations = [row for row in schema(database) if row[0] in compared and row[1] != "alembic_version"]
    assert by_migrations == by_models
    fresh.engine.dispose()


def test_every_check_has_a_name_of_its_own() -> None:
    names = [
        constraint.name
        for table in Base.metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint)
    ]
    assert None not in names
    assert len(names) == len(set(names))


def test_every_migration_goes_down_and_up_again(empty: Database) -> None:
    steps = [script.revision for script in ScriptDirectory.from_config(configuration(empty)).walk_revisions()][::-1]
    seen = [schema(empty)]
    for revision in steps:
        upgrade(empty, revision)
        seen.append(schema(empty))
    for before in reversed(seen[1:-1]):
        command.downgrade(configuration(empty), "-1")
        assert schema(empty) == before
    command.downgrade(configuration(empty), "base")
    assert inspect(empty.engine).get_table_names() == ["alembic_version"]
    upgrade(empty)
    assert schema(empty) == seen[-1]


@pytest.fixture
def of_release_0_1_0(empty: Database) -> Database:
    """A database as release 0.1.0 left it."""
    with empty.engine.begin() as connection:
        dump = Path(__file__).with_name("release_0_1_0.sql").read_text(encoding="utf-8")
        connection.exec_driver_sql(dump, execution_options={"no_parameters": True})
    return empty


def test_a_database_of_the_last_release_becomes_what_the_models_say(
    of_release_0_1_0: Database, database: Database
) -> None:
    upgrade(of_release_0_1_0)
    assert not pending(of_release_0_1_0)
    assert schema(of_release_0_1_0) == schema(database)


def test_a_database_before_the_last_release_is_refused_with_what_to_do(of_release_0_1_0: Database) -> None:
    with of_release_0_1_0.transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '2026_11_21_evidence'"))
    for act in (upgrade, require_migrated):
        with pytest.raises(TooOldError, match=r"older than release 0\.1\.0; run `assay migrate`"):
            act(of_release_0_1_0)


def test_migrations_that_start_together_run_once(empty: Database, together: Callable[..., list[Any]]) -> None:
    assert together(*[lambda: upgrade(empty)] * 3) == [None] * 3
    assert not pending(empty)


def test_a_database_that_lacks_a_migration_is_refused(empty: Database, database: Database) -> None:
    require_migrated(database)
    with pytest.raises(NotMigratedError):
        require_migrated(empty)


def test_a_database_of_a_newer_release_lacks_nothing(database: Database) -> None:
    with database.transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '2999_01_01_of_a_newer_release'"))
    require_migrated(database)
    upgrade(database)
    assert not pending(database)


def test_a_database_that_is_away_is_said_to_be_away() -> None:
    nowhere = connect("postgresql+psycopg://assay@127.0.0.1:1/assay")
    with pytest.raises(DatabaseDownError):
        pending(nowhere)
    with pytest.raises(DatabaseDownError):
        upgrade(nowhere)


def test_there_is_a_policy_from_the_start(database: Database) -> None:
    with database.transaction() as session:
        row = session.execute(
            text("SELECT version, prior_shift, false_positive_budget, miss_budget, by_source FROM policy")
        ).one()
    assert tuple(row) == (1, 0.0, 0.01, 0.05, {})
