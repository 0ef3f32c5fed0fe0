"""Workers that die, freeze or lose their connection: what they held is done by others, and by them alone."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

import pytest
from sqlalchemy import select, text

from tests.conftest import Scanned
from tests.support.assay_up import wait_until
from tests.support.fakes import FakeClock
from worker.database.images import BULK_QUEUE
from worker.database.scans import Scans
from worker.database.session import open_listening
from worker.database.tables import Scan, ScanKind, ScanState, Worker
from worker.database.workers import Workers
from worker.duties.lost_workers import EndLostWorkers
from worker.scan.presence import Connection, Presence

pytestmark = pytest.mark.integration


class Shelf:
    """A shelf that notes what it is asked to load."""

    def __init__(self, *versions: str) -> None:
        self.versions = set(versions)
        self.begun: list[str] = []

    def ready(self) -> set[str]:
        return self.versions

    def prepare(self, version: str) -> None:
        self.begun.append(version)


class Process:
    """A worker's presence, and the hands to end it in every way."""

    def __init__(self, database_url: str, shelf: Shelf) -> None:
        self._url = database_url
        self._connections: list[Connection] = []
        self._silent = False
        self.stop = threading.Event()
        self.presence = Presence(self._connect, shelf, bulk_scans=2)
        self.presence.start(self.stop)
        wait_until(lambda: self.presence.worker_id() is not None, 20, "the worker to show up")

    def _connect(self) -> Connection:
        if self._silent:
            self.stop.wait(60)
        self._connections.append(open_listening(self._url))
        return self._connections[-1]

    @property
    def worker_id(self) -> int:
        worker_id = self.presence.worker_id()
        assert worker_id is not None
        return worker_id

    def die(self) -> None:
        """Close the connection as the kernel does for a process that was killed, and never connect again."""
        self._silent = True
        self.break_connection()

    def break_connection(self) -> None:
        with open_listening(self._url) as other:
            other.execute("SELECT pg_terminate_backend(%s)", (self._connections[-1].info.backend_pid,))


@pytest.fixture
def start(database_url: str) -> Iterator[Callable[..., Process]]:
    with ExitStack() as started:

        def begin(shelf: Shelf | None = None) -> Process:
            process = Process(database_url, shelf or Shelf("b1"))
            started.callback(process.stop.set)
            return process

        yield begin


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def end_lost(scanned: Scanned, clock: FakeClock) -> EndLostWorkers:
    return EndLostWorkers(Workers(scanned.database), clock)


def wait_unlocked(scanned: Scanned, worker_id: int) -> None:
    workers = Workers(scanned.database)
    wait_until(lambda: not workers.signs()[worker_id].locked, 20, "the lock to end")


def is_due(scanned: Scanned, scan_id: int) -> bool:
    with scanned.database.transaction() as session:
        return bool(session.scalar(select(Scan.due_at <= text("now()")).where(Scan.id == scan_id)))


def test_what_a_dead_worker_held_and_what_nobody_took_is_due_at_once(
    scanned: Scanned, start: Callable[..., Process], end_lost: EndLostWorkers, clock: FakeClock
) -> None:
    scanned.crown("b1")
    scans, dead, alive = Scans(scanned.database), start(), start()
    held, kept, in_hands = scanned.arrive("held"), scanned.arrive("kept"), scanned.arrive("in hands")
    scanned.dispatch()
    lease = scans.lease(held, 600, worker_id=dead.worker_id)
    scans.lease(kept, 600, worker_id=alive.worker_id)
    assert lease is not None
    dead.die()
    wait_unlocked(scanned, dead.worker_id)
    end_lost()
    assert not is_due(scanned, held)
    clock.advance(1.5)
    end_lost()
    assert [is_due(scanned, scan_id) for scan_id in (held, kept, in_hands)] == [True, False, True]
    assert sorted(scanned.dispatch()) == [held, in_hands]
    again = scans.lease(held, 600, worker_id=alive.worker_id)
    assert again is not None
    assert scans.renew([lease, again], 600) == {again.token}
    with scanned.database.transaction() as session:
        assert session.scalars(select(Worker.id)).all() == [alive.worker_id]


def test_a_worker_whose_connection_breaks_goes_on_under_its_id(
    scanned: Scanned, start: Callable[..., Process], end_lost: EndLostWorkers, clock: FakeClock
) -> None:
    process = start()
    worker_id = process.worker_id
    end_lost()
    process.break_connection()
    wait_unlocked(scanned, worker_id)
    wait_until(lambda: Workers(scanned.database).signs()[worker_id].locked, 20, "the lock to be taken again")
    clock.advance(1.5)
    end_lost()
    assert process.worker_id == worker_id
    assert worker_id in Workers(scanned.database).signs()


def test_a_worker_that_was_given_up_comes_back_as_another(scanned: Scanned, start: Callable[..., Process]) -> None:
    process = start()
    before = process.worker_id
    Workers(scanned.database).end([before])
    wait_until(lambda: process.worker_id != before, 20, "another id")
    wait_until(lambda: Workers(scanned.database).signs()[process.worker_id].locked, 20, "its lock")


def test_a_worker_that_ends_in_order_leaves_nothing_behind(scanned: Scanned, start: Callable[..., Process]) -> None:
    process = start()
    process.stop.set()
    process.presence.join()
    assert Workers(scanned.database).signs() == {}


def test_a_new_champion_is_loaded_before_any_scan_asks_for_it(scanned: Scanned, start: Callable[..., Process]) -> None:
    shelf = Shelf("b1")
    scanned.crown("b1")
    start(shelf)
    scanned.crown("b2")
    wait_until(lambda: "b2" in shelf.begun, 20, "the worker to hear of it")


def test_while_the_new_champion_is_loaded_live_scans_go_on_with_the_one_before(scanned: Scanned) -> None:
    scanned.crown("b1")
    scanned.crown("b2")
    scans, scan_ids = Scans(scanned.database), [scanned.arrive(name) for name in ("one", "two", "three")]
    scanned.dispatch()
    take = partial(scans.lease, seconds=60)
    leases = [
        take(scan_id, ready=ready) for scan_id, ready in zip(scan_ids, [{"b1"}, {"b1", "b2"}, set[str]()], strict=True)
    ]
    assert [lease and lease.bundle_version for lease in leases] == ["b1", "b2", "b2"]


def test_who_was_rolled_back_serves_nobody_while_the_restored_bundle_is_loaded(scanned: Scanned) -> None:
    for version in ("b0", "b1", "b2"):
        scanned.crown(version)
    with scanned.database.transaction() as session:
        session.execute(text("UPDATE bundle SET role = 'registered'"))
        session.execute(text("UPDATE bundle SET role = 'champion' WHERE version = 'b1'"))
        session.execute(
            text(
                "INSERT INTO promotion (bundle_version, created_by, reason, rollback, withdraws) "
                "VALUES ('b1', 't', 't', true, 'b2')"
            )
        )
    scan_id = scanned.arrive()
    scanned.dispatch()
    lease = Scans(scanned.database).lease(scan_id, 60, ready={"b0", "b2"})
    assert lease is not None
    assert lease.bundle_version == "b0"


def test_a_scan_that_names_a_bundle_is_left_until_that_is_loaded(scanned: Scanned) -> None:
    scanned.crown("b1")
    scan_id = scanned.arrive("history", BULK_QUEUE)
    with scanned.database.transaction() as session:
        scan = session.get_one(Scan, scan_id)
        scan.kind, scan.bundle_version = ScanKind.RESCAN, "b1"
    scanned.dispatch(BULK_QUEUE)
    scans = Scans(scanned.database)
    assert scans.lease(scan_id, 60, ready={"b2"}) is None
    assert scans.put_back(scan_id, {"b1"}, 2) is None
    assert scans.put_back(scan_id, {"b2"}, 2) == "b1"
    assert (scanned.scan(scan_id).state, scanned.scan(scan_id).attempts) == (ScanState.QUEUED, 0)
