"""Leases last while their scans make progress; who lost one stops before the next stage."""

from collections.abc import Sequence
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from tests.support.fakes import FakeClock, FakeObjects, FakeScans, FakeStop
from tests.unit.worker.scan.scan_world import CLEAR, UPLOADS, World, grey
from worker.database.scans import Lease
from worker.database.session import DatabaseDownError
from worker.database.tables import ScanState
from worker.errors import LeaseLostError, TransientError
from worker.scan.leases import Leases


class RenewedScans(FakeScans):
    """A ledger that remembers which scans were renewed."""

    renewed: list[int]

    def renew(self, leases: Sequence[Lease], seconds: float) -> set[UUID]:
        self.renewed = [lease.scan_id for lease in leases]
        return super().renew(leases, seconds)


@pytest.fixture
def scans() -> RenewedScans:
    made = RenewedScans()
    objects = FakeObjects(versioned=[UPLOADS])
    for key in ("a.png", "b.png"):
        made.add(UPLOADS, key, objects.put(UPLOADS, key, grey(CLEAR)))
    made.renewed = []
    return made


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


class Shelf:
    """A shelf that holds some versions and notes what it is asked to load."""

    def __init__(self, *versions: str) -> None:
        self.versions = versions
        self.begun: list[str] = []

    def ready(self) -> Sequence[str]:
        return self.versions

    def prepare(self, version: str) -> None:
        self.begun.append(version)


@pytest.fixture
def leases(scans: RenewedScans, clock: FakeClock) -> Leases:
    return Leases(scans, seconds=60, longest_stage=100, monotonic=clock, bundles=Shelf("fake-1"))


def test_a_lease_is_renewed_until_its_scan_ends(leases: Leases, scans: RenewedScans) -> None:
    with leases.hold(1) as first, leases.hold(2):
        leases.renew()
        assert (first is None, scans.renewed) == (False, [1, 2])
    scans.renewed = []
    leases.renew()
    assert scans.renewed == []


def test_a_scan_that_stands_still_is_not_renewed_until_it_moves(
    leases: Leases, scans: RenewedScans, clock: FakeClock
) -> None:
    with leases.hold(1) as held:
        assert held is not None
        clock.advance(101)
        leases.renew()
        assert scans.renewed == []
        held.check()
        leases.renew()
        assert scans.renewed == [1]


def test_who_lost_the_lease_stops_before_the_next_stage(leases: Leases, scans: RenewedScans) -> None:
    with leases.hold(1) as held:
        assert held is not None
        scans.expire(1)
        leases.renew()
        with pytest.raises(LeaseLostError), held.watch.stage("fetch"):
            pytest.fail("the stage began")


def test_nothing_is_leased_twice(leases: Leases) -> None:
    with leases.hold(1), leases.hold(1) as again:
        assert again is None


def test_a_database_that_is_away_does_not_end_the_renewals(
    leases: Leases, scans: RenewedScans, clock: FakeClock
) -> None:
    def away() -> None:
        clock.advance(30)
        scans.trouble = TransientError("away") if scans.trouble is None else None

    with leases.hold(1), capture_logs() as logs:
        leases._run(FakeStop(4, away))
    assert [line["event"] for line in logs] == ["leases_not_renewed", "leases_not_renewed"]
    assert scans.renewed == [1]


def test_scans_that_are_left_while_the_database_is_away_are_queued_again(leases: Leases, scans: RenewedScans) -> None:
    away = DatabaseDownError("PostgreSQL does not answer")
    with pytest.raises(DatabaseDownError), leases.hold(1):
        raise away
    scans.trouble = away
    with pytest.raises(DatabaseDownError), leases.hold(2):
        pytest.fail("it was leased")
    with pytest.raises(DatabaseDownError):
        leases.queue_left()
    scans.trouble = None
    leases.queue_left()
    assert [scan.state for scan in scans.scans.values()] == [ScanState.QUEUED, ScanState.QUEUED]
    scans.dispatch(1)
    leases.queue_left()
    assert scans.scans[1].state is ScanState.DISPATCHED


def test_the_story_gives_up_a_scan_that_another_worker_has(world: World) -> None:
    scan_id = world.upload(grey(CLEAR))

    def lose(_data: bytes) -> None:
        world.scans.expire(scan_id)
        world.leases.renew()

    world.decoders._before = lose  # type: ignore[attr-defined]
    scan = world.scan(scan_id)
    assert (scan.state, world.bundles.bundle.batches) == (ScanState.DISPATCHED, [])


def test_a_scan_whose_bundle_is_not_loaded_comes_again_and_no_thread_waits_for_it(
    scans: RenewedScans, clock: FakeClock
) -> None:
    shelf = Shelf("other")
    leases = Leases(scans, seconds=60, longest_stage=100, monotonic=clock, bundles=shelf)
    with leases.hold(1) as held:
        assert held is None
    assert (scans.scans[1].state, scans.scans[1].attempts, shelf.begun) == (ScanState.QUEUED, 0, ["fake-1"])
