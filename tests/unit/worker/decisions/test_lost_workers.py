"""A dead worker is noticed by its lock, a frozen one by its heartbeat, and an outage makes nobody lost."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.fakes import FakeClock
from worker.decisions.lost_workers import Watch


@dataclass(frozen=True)
class Sign:
    seen_at: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    locked: bool = True

    def beat(self, seconds: float = 0.5) -> "Sign":
        return replace(self, seen_at=self.seen_at + timedelta(seconds=seconds))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def watch(clock: FakeClock) -> Watch:
    return Watch(clock)


def seconds_until_lost(watch: Watch, clock: FakeClock, sign: Sign, most: float = 60) -> float | None:
    begin = clock()
    while clock() - begin <= most:
        if watch.look({1: sign}):
            return clock() - begin
        clock.advance(0.5)
    return None


def test_a_dead_worker_is_lost_within_two_seconds(watch: Watch, clock: FakeClock) -> None:
    sign = Sign()
    assert watch.look({1: sign}) == []
    assert seconds_until_lost(watch, clock, replace(sign, locked=False)) == 1.5


def test_a_frozen_worker_is_lost_after_ten_seconds(watch: Watch, clock: FakeClock) -> None:
    assert seconds_until_lost(watch, clock, Sign()) == 10


def test_a_worker_that_beats_is_never_lost_even_where_another_connection_holds_its_lock(
    watch: Watch, clock: FakeClock
) -> None:
    sign = Sign(locked=False)
    for _ in range(100):
        assert watch.look({1: sign, 2: replace(sign, locked=True)}) == []
        sign = sign.beat()
        clock.advance(0.5)


def test_after_an_outage_of_the_database_workers_have_time_to_connect_again(watch: Watch, clock: FakeClock) -> None:
    sign = Sign()
    watch.look({1: sign})
    clock.advance(30)
    watch.start_anew()
    assert watch.look({1: replace(sign, locked=False)}) == []
    clock.advance(0.5)
    assert watch.look({1: sign.beat()}) == []


def test_a_worker_that_left_is_not_missed(watch: Watch, clock: FakeClock) -> None:
    watch.look({1: Sign(locked=False)})
    clock.advance(60)
    assert watch.look({}) == []
