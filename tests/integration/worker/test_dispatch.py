"""The dispatcher between a real Postgres and a broker that may be away."""

import threading
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

import pytest

from tests.conftest import Scanned
from tests.support.fakes import FakeStop
from worker.database.images import BULK_QUEUE, LIVE_QUEUE
from worker.database.session import open_listening
from worker.database.tables import ScanState, Worker
from worker.dispatch.dispatcher import Bell, BrokerDownError, Dispatcher
from worker.dispatch.wake_up import WakeUp

pytestmark = pytest.mark.integration


class FakeBell:
    """A broker that remembers what was published; raises ``trouble`` when it is set."""

    def __init__(self, ring: Callable[[str, Sequence[int]], None] = lambda _queue, _scan_ids: None) -> None:
        self.ring = ring
        self.length = 0
        self.lengths_read: list[str] = []
        self.rung: list[tuple[str, list[int]]] = []
        self.trouble: Exception | None = None

    def __call__(self, queue: str, scan_ids: Sequence[int]) -> None:
        """Publish."""
        if self.trouble:
            raise self.trouble
        self.ring(queue, scan_ids)
        self.rung.append((queue, list(scan_ids)))

    def waiting(self, queue: str) -> int:
        """Tell the length that was set."""
        self.lengths_read.append(queue)
        return self.length


def make_dispatcher(scanned: Scanned, bell: Bell, max_in_flight: int = 100) -> Dispatcher:
    return Dispatcher(scanned.database, bell, max_in_flight=max_in_flight, dispatch_seconds=60, interval_seconds=0.001)


def test_what_is_due_is_published_once_committed_live_before_bulk(scanned: Scanned) -> None:
    bulk, live = scanned.arrive("bulk", BULK_QUEUE), scanned.arrive("live")
    states: list[tuple[str, int, str]] = []

    def publish(queue: str, scan_ids: Sequence[int]) -> None:
        # Read on another connection: only what is committed shows.
        states.extend((queue, scan_id, scanned.scan(scan_id).state) for scan_id in scan_ids)

    dispatcher = make_dispatcher(scanned, FakeBell(publish))
    assert dispatcher.dispatch_once() == 2
    assert states == [(LIVE_QUEUE, live, ScanState.DISPATCHED), (BULK_QUEUE, bulk, ScanState.DISPATCHED)]
    assert dispatcher.dispatch_once() == 0


def test_a_round_in_which_nothing_is_due_asks_the_broker_nothing(scanned: Scanned) -> None:
    bell = FakeBell()
    dispatcher = make_dispatcher(scanned, bell)
    assert (dispatcher.dispatch_once(), bell.lengths_read) == (0, [])
    scanned.arrive("bulk", BULK_QUEUE)
    assert (dispatcher.dispatch_once(), bell.lengths_read) == (1, [BULK_QUEUE])


def test_a_full_bulk_queue_does_not_hold_up_live_scans(scanned: Scanned) -> None:
    bell = FakeBell()
    dispatcher = make_dispatcher(scanned, bell, max_in_flight=1)
    for number in range(3):
        scanned.arrive(f"bulk-{number}", BULK_QUEUE)
    dispatcher.dispatch_once()
    live = scanned.arrive("live")
    assert dispatcher.dispatch_once() == 1
    assert bell.rung[-1] == (LIVE_QUEUE, [live])


def test_while_the_broker_is_down_scans_wait_in_postgres(scanned: Scanned) -> None:
    bell = FakeBell()
    bell.trouble = BrokerDownError()
    scan_id = scanned.arrive()
    dispatcher = make_dispatcher(scanned, bell)
    with pytest.raises(BrokerDownError):
        dispatcher.dispatch_once()
    assert scanned.scan(scan_id).state == ScanState.QUEUED
    bell.trouble = None
    scanned.overdue(scan_id)
    assert dispatcher.dispatch_once() == 1
    scan = scanned.scan(scan_id)
    assert (scan.state, scan.attempts, scan.lease_expiries) == (ScanState.DISPATCHED, 0, 0)


def test_two_dispatchers_publish_everything_once(scanned: Scanned, together: Callable[..., list[Any]]) -> None:
    scan_ids = [scanned.arrive(str(number)) for number in range(40)]
    bell = FakeBell()
    dispatchers = [make_dispatcher(scanned, bell) for _ in range(2)]
    together(*[dispatcher.dispatch_once for dispatcher in dispatchers])
    assert sorted(scan_id for _, ids in bell.rung for scan_id in ids) == scan_ids


@pytest.mark.parametrize("trouble", [BrokerDownError(), ValueError("a defect")], ids=["broker down", "defect"])
def test_a_dispatcher_outlives_its_troubles(scanned: Scanned, trouble: Exception) -> None:
    scan_ids = [scanned.arrive(str(number)) for number in range(2)]
    calls: list[int] = []

    def publish(_queue: str, ids: Sequence[int]) -> None:
        calls.extend(ids)
        if calls == scan_ids:
            raise trouble

    make_dispatcher(scanned, FakeBell(publish)).run(FakeStop(3, lambda: scanned.overdue(*scan_ids)))
    assert calls == scan_ids * 3


def test_messages_of_scans_that_ended_hold_up_no_scan(scanned: Scanned) -> None:
    bell = FakeBell()
    bell.length = 4
    scan_id = scanned.arrive()
    assert make_dispatcher(scanned, bell, max_in_flight=2).dispatch_once() == 1
    assert bell.rung == [(LIVE_QUEUE, [scan_id])]


def test_while_nobody_takes_messages_none_is_sent_twice(scanned: Scanned) -> None:
    bell = FakeBell()
    dispatcher = make_dispatcher(scanned, bell, max_in_flight=2)
    first, second = scanned.arrive("1"), scanned.arrive("2")
    assert dispatcher.dispatch_once() == 2
    bell.length = 2
    scanned.overdue(first, second)
    assert dispatcher.dispatch_once() == 0
    scanned.overdue(second)
    scanned.overdue(first)
    bell.length = 1  # a worker died with the oldest in its hands, or the broker lost it
    assert dispatcher.dispatch_once() == 1


def test_history_takes_no_more_than_the_workers_places_for_it(scanned: Scanned) -> None:
    with scanned.database.transaction() as session:
        session.add_all([Worker(bundles=[], bulk_scans=2), Worker(bundles=[], bulk_scans=1)])
    for number in range(5):
        scanned.arrive(f"bulk-{number}", BULK_QUEUE)
        scanned.arrive(f"live-{number}")
    bell = FakeBell()
    make_dispatcher(scanned, bell).dispatch_once()
    assert {queue: len(scan_ids) for queue, scan_ids in bell.rung} == {LIVE_QUEUE: 5, BULK_QUEUE: 3}


class FakeWakeUp:
    """Notes how long the dispatcher would wait; rings in the turns that it is given."""

    def __init__(self, rings: Collection[int] = ()) -> None:
        self.rings = rings
        self.waits: list[float] = []

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        """Take a turn."""
        self.waits.append(seconds)
        stop.wait(0)
        return len(self.waits) in self.rings


def test_a_quiet_dispatcher_polls_slowly_until_a_notification_comes(scanned: Scanned) -> None:
    wake_up = FakeWakeUp(rings={25})
    dispatcher = Dispatcher(
        scanned.database, FakeBell(), max_in_flight=1, dispatch_seconds=60, interval_seconds=0.1, wake_up=wake_up
    )
    dispatcher.run(FakeStop(30))
    assert wake_up.waits[:20] == [0.1] * 20
    assert wake_up.waits[20:25] == [1.0] * 5
    assert wake_up.waits[25:] == [0.1] * 5


def test_a_queued_scan_wakes_the_dispatcher(scanned: Scanned, database_url: str) -> None:
    stop = threading.Event()
    wake_up = WakeUp(partial(open_listening, database_url))
    wake_up.start(stop)
    assert wake_up.wait(stop, 20), "it rings once when it begins to listen"
    scanned.arrive()
    assert wake_up.wait(stop, 20)
    stop.set()
    assert not wake_up.wait(stop, 20)
