"""Migrations of a database that is at work: they wait briefly, step back, and try again."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from tests.conftest import Databases
from worker.database.migrate import TablesHeldError, pending, upgrade
from worker.database.session import Database, connect

pytestmark = pytest.mark.integration

_DUMP = Path(__file__).with_name("release_0_1_0.sql")
_WAITING = (
    "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database "
    "WHERE NOT granted AND datname = current_database()"
)


@pytest.fixture
def of_release_0_1_0(databases: Databases) -> Iterator[Database]:
    """A database as release 0.1.0 left it."""
    url = databases.create()
    database = connect(url.render_as_string(hide_password=False))
    with database.engine.begin() as connection:
        connection.exec_driver_sql(_DUMP.read_text(encoding="utf-8"), execution_options={"no_parameters": True})
    yield database
    database.engine.dispose()
    databases.drop(url)


def wait_for_a_waiter(database: Database) -> None:
    """Return once a transaction waits for another's lock."""
    over = threading.Event()
    while True:
        with database.engine.connect() as looking:
            if looking.scalar(text(_WAITING)):
                return
        over.wait(0.02)


def write_to(connection: Connection, table: str) -> None:
    connection.execute(text(f"UPDATE {table} SET created_at = created_at"))  # noqa: S608


@pytest.mark.parametrize(("first", "then"), [("scan", "verdict"), ("verdict", "image")])
def test_a_migration_gives_way_to_a_transaction_that_it_would_deadlock_with(
    of_release_0_1_0: Database, first: str, then: str
) -> None:
    database = of_release_0_1_0
    with ThreadPoolExecutor(1) as aside, database.engine.connect() as work:
        # So that it is the migration that finds the deadlock, and is ended by it.
        work.execute(text("SET LOCAL deadlock_timeout = '1min'"))
        write_to(work, first)
        migration = aside.submit(upgrade, database)
        wait_for_a_waiter(database)
        write_to(work, then)
        work.commit()
        migration.result(60)
    assert not pending(database)


def test_a_migration_names_the_transaction_that_never_lets_go(of_release_0_1_0: Database) -> None:
    database = of_release_0_1_0
    with database.engine.connect() as work:
        write_to(work, "scan")
        process = work.scalar(text("SELECT pg_backend_pid()"))
        with pytest.raises(TablesHeldError, match=rf"process {process} \(assay, idle in transaction, since "):
            upgrade(database, patience=0.0)
    upgrade(database)
    assert not pending(database)


def test_nobody_waits_long_behind_a_migration_that_waits(of_release_0_1_0: Database) -> None:
    database = of_release_0_1_0
    with ThreadPoolExecutor(1) as aside, database.engine.connect() as work:
        write_to(work, "scan")
        migration = aside.submit(upgrade, database)
        wait_for_a_waiter(database)
        with database.engine.connect() as another:
            # Longer than a migration waits, shorter than this test: it would fail behind one that waits for ever.
            another.execute(text("SET LOCAL statement_timeout = '30s'"))
            write_to(another, "scan")
            another.commit()
        work.commit()
        migration.result(60)
    assert not pending(database)
