"""A transaction commits, rolls back, or says that the database is away."""

import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Select, make_url, select, text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from worker.database.served import _served
from worker.database.session import Database, DatabaseDownError, compiled, connect, open_listening
from worker.database.tables import Duty
from worker.errors import TransientError

pytestmark = pytest.mark.integration


def duties(database: Database) -> list[str]:
    with database.transaction() as session:
        return list(session.scalars(select(Duty.name)))


def test_what_ends_well_is_committed(database: Database) -> None:
    with database.transaction() as session:
        session.add(Duty(name="sweep"))
    assert duties(database) == ["sweep"]


def test_what_raises_is_rolled_back(database: Database) -> None:
    def add_and_fail() -> None:
        with database.transaction() as session:
            session.add(Duty(name="sweep"))
            session.flush()
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        add_and_fail()
    assert duties(database) == []


def test_a_single_statement_is_a_transaction_by_itself(database: Database) -> None:
    add = text("INSERT INTO schedule (name) VALUES ('sweep')")
    with database.statement() as session:
        session.execute(add)
        assert duties(database) == ["sweep"]
    with pytest.raises(IntegrityError), database.statement() as session:
        session.execute(add)
    with pytest.raises(DatabaseDownError), database.statement() as session:
        session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    assert duties(database) == ["sweep"]


def test_a_single_statement_within_a_long_transaction_is_a_part_of_it(database: Database) -> None:
    whole = database.begin()
    whole.join()
    with database.statement() as session:
        session.execute(text("INSERT INTO schedule (name) VALUES ('sweep')"))
    whole.leave()
    assert duties(database) == []
    whole.end(commit=False)
    assert duties(database) == []


def test_a_connection_is_asked_whether_it_lives_only_where_its_server_has_said_something(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinged: list[object] = []
    ping = database.engine.dialect.do_ping

    def note_and_ping(wire: Any) -> bool:
        pinged.append(wire)
        return ping(wire)

    monkeypatch.setattr(database.engine.dialect, "do_ping", note_and_ping)
    assert (duties(database), duties(database), pinged) == ([], [], [])
    with database.engine.connect() as connection:
        pid = connection.scalar(text("SELECT pg_backend_pid()"))
    with open_listening(database_url) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])  # waits until it has ended
    assert duties(database) == []
    assert len(pinged) == 1


def test_our_own_mistakes_are_not_taken_for_an_outage(database: Database) -> None:
    with pytest.raises(ProgrammingError), database.transaction() as session:
        session.execute(text("SELECT nonsense"))
    with pytest.raises(IntegrityError), database.transaction() as session:
        session.execute(text("INSERT INTO schedule (name) VALUES ('a'), ('a')"))


def test_a_server_that_is_not_there_is_a_transient_error(database_url: str) -> None:
    nowhere = connect(make_url(database_url).set(port=1).render_as_string(hide_password=False))
    with pytest.raises(TransientError, match="PostgreSQL does not answer"), nowhere.transaction() as session:
        session.execute(text("SELECT 1"))


def test_a_server_that_gives_up_waiting_is_not_said_to_be_away(database: Database) -> None:
    impatient = "SET LOCAL lock_timeout = '1ms'; LOCK TABLE schedule"
    with database.engine.begin() as another:
        another.execute(text("LOCK TABLE schedule"))
        with pytest.raises(TransientError, match="waited too long for another"), database.transaction() as session:
            session.execute(text(impatient))


def test_a_connection_cut_in_the_middle_is_a_transient_error_and_the_next_one_works(database: Database) -> None:
    with pytest.raises(DatabaseDownError), database.transaction() as session:
        session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    assert duties(database) == []


def test_a_server_that_vanishes_without_a_word_is_noticed_within_half_a_minute(database: Database) -> None:
    # Linux would wait two hours for an answer that cannot come, and a quarter of an hour for what was sent to arrive.
    with database.engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        with socket.socket(fileno=driver.fileno()) as wire:
            options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
            values = [wire.getsockopt(socket.IPPROTO_TCP, option) for option in options]
            wire.detach()
    assert values == [10, 5, 4, 30_000]


def test_connections_cut_while_idle_are_not_noticed_at_all(database: Database) -> None:
    assert duties(database) == []
    with database.engine.connect() as other:
        other.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    assert duties(database) == []


def test_a_shared_statement_may_be_executed_for_the_first_time_by_many_threads_at_once(
    database: Database, together: Callable[..., list[Any]], switches_often: None
) -> None:
    assert switches_often is None
    for _ in range(20):
        database.engine.clear_compiled_cache()
        shared = compiled(_served())

        def ask(statement: Select[Any] = shared) -> None:
            with database.transaction() as session:
                session.execute(statement, {"image_id": "unknown"}).all()

        assert together(*[ask] * 8) == [None] * 8


@pytest.fixture
def switches_often() -> Iterator[None]:
    """Let threads take turns a hundred times as often, so that what can collide does."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(usual)
