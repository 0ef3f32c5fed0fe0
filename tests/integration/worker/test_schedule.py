"""Scheduled duties: each by one process at a time, none stopped by another's failure."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import make_url, text

from tests.support.clocks import FakeClock
from tests.support.fakes import FakeStop
from worker.database.session import Database, connect
from worker.database.tables import Duty
from worker.dispatch.schedule import Schedule, ScheduledDuty

pytestmark = pytest.mark.integration

HOUR = 3600.0


def duty(database: Database, name: str) -> Duty:
    with database.transaction() as session:
        return session.get_one(Duty, name)


def let_time_pass(database: Database) -> None:
    with database.transaction() as session:
        session.execute(text("UPDATE schedule SET due_at = due_at - interval '2 hours'"))


def test_a_new_duty_is_due_at_once_and_then_after_its_period(database: Database) -> None:
    ran: list[str] = []
    schedule = Schedule(database, {"sweep": ScheduledDuty(HOUR, lambda: ran.append("sweep"))})
    assert [schedule.run_due(), schedule.run_due()] == [["sweep"], []]
    let_time_pass(database)
    assert schedule.run_due() == ["sweep"]
    assert ran == ["sweep"] * 2
    done = duty(database, "sweep")
    assert (done.last_error, done.last_finished_at is not None) == (None, True)
    assert done.last_started_at is not None
    assert (done.due_at - done.last_started_at).total_seconds() == HOUR


def test_a_shorter_period_counts_from_the_next_start_on(database: Database) -> None:
    assert Schedule(database, {"sweep": ScheduledDuty(HOUR, lambda: None)}).run_due() == ["sweep"]
    assert Schedule(database, {"sweep": ScheduledDuty(2 * HOUR, lambda: None)}).run_due() == []
    assert Schedule(database, {"sweep": ScheduledDuty(0.0, lambda: None)}).run_due() == ["sweep"]


def test_of_several_schedulers_one_runs_a_duty(database: Database, together: Callable[..., list[Any]]) -> None:
    ran: list[int] = []
    schedules = [
        Schedule(database, {"sweep": ScheduledDuty(HOUR, lambda number=number: ran.append(number))})  # type: ignore[misc]
        for number in range(3)
    ]
    results = together(*[schedule.run_due for schedule in schedules])
    assert sorted(results) == [[], [], ["sweep"]]
    assert len(ran) == 1


def test_a_duty_that_outlasts_its_period_is_not_started_beside_itself(database: Database) -> None:
    running, finish, ran = threading.Event(), threading.Event(), list[str]()

    def long_duty() -> None:
        ran.append("long")
        running.set()
        finish.wait(10)

    schedule = Schedule(database, {"long": ScheduledDuty(HOUR, long_duty)})
    thread = threading.Thread(target=schedule.run_due)
    thread.start()
    assert running.wait(10)
    let_time_pass(database)
    assert schedule.run_due() == []
    finish.set()
    thread.join(10)
    assert ran == ["long"]


def test_a_duty_that_fails_is_recorded_and_stops_no_other(database: Database) -> None:
    ran: list[str] = []

    def fail() -> None:
        raise ValueError("broken\x00")

    duties = {"bad": ScheduledDuty(HOUR, fail), "good": ScheduledDuty(HOUR, lambda: ran.append("good"))}
    assert Schedule(database, duties).run_due() == ["bad", "good"]
    assert ran == ["good"]
    assert "ValueError('broken" in (duty(database, "bad").last_error or "")
    let_time_pass(database)
    Schedule(database, {"bad": ScheduledDuty(HOUR, lambda: None)}).run_due()
    assert duty(database, "bad").last_error is None


def test_a_schedule_outlives_an_outage_of_the_database_in_the_middle_of_a_duty(database: Database) -> None:
    ran: list[str] = []

    def cut_all_connections() -> None:
        ran.append("cut")
        with database.engine.connect() as other:
            other.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )

    Schedule(database, {"cut": ScheduledDuty(0.0, cut_all_connections)}).run(FakeStop(2))
    assert ran == ["cut"] * 2


def test_a_schedule_waits_for_a_database_that_is_away(database_url: str) -> None:
    nowhere = connect(make_url(database_url).set(port=1).render_as_string(hide_password=False))
    turns: list[str] = []
    Schedule(nowhere, {"sweep": ScheduledDuty(HOUR, list)}).run(FakeStop(3, lambda: turns.append("turn")))
    assert turns == ["turn"] * 3


def test_a_schedule_outlives_a_defect_of_its_own(database: Database) -> None:
    with database.transaction() as session:
        session.execute(text("ALTER TABLE schedule RENAME TO gone"))
    turns: list[str] = []
    Schedule(database, {"sweep": ScheduledDuty(HOUR, list)}).run(FakeStop(1, lambda: turns.append("turn")))
    assert turns == ["turn"]


def test_a_long_duty_holds_up_neither_the_others_nor_the_end(database: Database) -> None:
    stop, long_began, others_done, let_go = (threading.Event() for _ in range(4))

    def long_duty() -> None:
        long_began.set()
        let_go.wait()

    before = set(threading.enumerate())
    Schedule(database, {"long": ScheduledDuty(HOUR, long_duty), "quick": ScheduledDuty(HOUR, others_done.set)}).start(
        stop
    )
    started = set(threading.enumerate()) - before
    assert long_began.wait(20)
    assert others_done.wait(20)
    assert [thread.daemon for thread in started] == [True, True]
    stop.set()
    let_go.set()
    for thread in started:
        thread.join()


def test_a_duty_that_rests_has_no_turn_but_one_in_ten_seconds(database: Database) -> None:
    ran: list[float] = []
    clock = FakeClock()
    rests = [True]
    duty = ScheduledDuty(0.0, lambda: ran.append(clock()), lambda: rests[0])
    schedule = Schedule(database, {"webhooks": duty}, clock)

    def second_passes() -> None:
        clock.advance(1.0)
        rests[0] = clock() != 15.0  # at 15 seconds there is something to do

    schedule.run(FakeStop(24, second_passes))
    assert ran == [0.0, 10.0, 15.0]
