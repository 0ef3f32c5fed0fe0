"""What goes wrong on an image's way: lost leases, defects and outages, told with fakes."""

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.fakes import FakeBundle, FakeObjects, FakeScans
from tests.unit.worker.scan.scan_world import (
    ARTIFACTS,
    CLEAR,
    FLAGGED,
    UPLOADS,
    Bundles,
    World,
    grey,
)
from worker.database.scans import Lease
from worker.database.tables import ScanState
from worker.errors import Reason, TransientError, WedgedError
from worker.objects.trouble import ObjectStoreDownError, RefusedError
from worker.objects.versions import ObjectVersion


def test_an_image_that_crashes_its_decoder_is_rejected(world: World) -> None:
    scan = world.scan(world.upload(grey(FLAGGED, (13, 13))))
    assert (scan.state, scan.reason) == (ScanState.REJECTED, Reason.CRASHES_DECODER)


@pytest.mark.parametrize("expiries", [1, 2])
def test_only_suspects_go_alone(make_world: Callable[..., World], expiries: int) -> None:
    alone: list[bool] = []

    def batcher(call: Any, item: Any, *, alone_: bool) -> Any:
        alone.append(alone_)
        return call([item])[0]

    world = make_world(run=lambda call, item, alone: batcher(call, item, alone_=alone))
    world.scan(world.upload(grey(FLAGGED), lease_expiries=expiries))
    assert alone == [expiries >= 2] * 2


class Fencing(FakeScans):
    """A ledger that takes every lease back while the worker is at work."""

    def lease(
        self, scan_id: int, seconds: float, *, worker_id: int | None = None, ready: Collection[str] | None = None
    ) -> Lease | None:
        lease = super().lease(scan_id, seconds, worker_id=worker_id, ready=ready)
        self.expire(scan_id)
        return lease


@pytest.mark.parametrize("body", [grey(CLEAR), b"<html>"], ids=["good", "bad"])
def test_a_worker_that_lost_its_lease_changes_nothing(make_world: Callable[..., World], body: bytes) -> None:
    world = make_world(scans=Fencing())
    scan = world.scan(world.upload(body))
    assert (scan.state, scan.verdict, scan.reason, scan.attempts) == (ScanState.DISPATCHED, None, None, 0)


def test_a_failure_under_a_lost_lease_changes_nothing(make_world: Callable[..., World]) -> None:
    world = make_world(scans=Fencing())
    world.bundles.trouble = ValueError("broken")
    assert world.scan(world.upload(grey(CLEAR))).attempts == 0


def test_a_wedged_device_ends_the_process_and_blames_no_image(make_world: Callable[..., World]) -> None:
    def wedged(_call: Any, _item: Any, *, alone: bool) -> Any:
        raise WedgedError(f"alone: {alone}")

    world = make_world(run=wedged)
    scan = world.scan(world.upload(grey(CLEAR)))
    assert world.ended == ["ended"]
    assert (scan.state, scan.attempts) == (ScanState.LEASED, 0)


def test_a_defect_is_tried_again_and_then_given_up(world: World) -> None:
    world.bundles.trouble = ValueError("broken")
    scan_id = world.upload(grey(CLEAR))
    states = []
    for _ in range(3):
        scan = world.scan(scan_id)
        states.append((scan.state, scan.attempts, scan.retry_in is None))
        world.scans.dispatch(scan_id)
    assert states == [(ScanState.QUEUED, 1, False), (ScanState.QUEUED, 2, False), (ScanState.DEAD, 3, True)]
    assert scan.detail == "ValueError"


def test_what_users_read_of_an_outage_names_no_address(world: World) -> None:
    trouble = ObjectStoreDownError('Could not connect to "http://10.0.0.7:9000/uploads"')
    scan = world.scan(world.upload_before(trouble))
    assert scan.detail == "The object store does not answer; check ASSAY_S3_ENDPOINT_URL and its keys."


def test_an_object_that_the_store_refuses_is_given_up_in_the_end(world: World) -> None:
    scan_id = world.upload_before(RefusedError("An error occurred (AccessDenied)"))
    for _ in range(3):
        scan = world.scan(scan_id)
        world.scans.dispatch(scan_id)
    assert (scan.state, scan.attempts) == (ScanState.DEAD, 3)


class NoPuts(FakeObjects):
    """An object store that takes nothing into the artifact bucket."""

    def __init__(self, why: Exception) -> None:
        super().__init__(versioned=[UPLOADS])
        self.why = why

    def put(self, bucket: str, *about: Any, **more: Any) -> ObjectVersion:
        if bucket == ARTIFACTS:
            raise self.why
        return super().put(bucket, *about, **more)


@pytest.mark.parametrize(("why", "scans"), [(RefusedError(), 1), (ObjectStoreDownError(), 8)], ids=["refused", "down"])
def test_a_verdict_waits_for_its_heatmaps_no_longer_than_its_attempts(
    make_world: Callable[..., World], why: Exception, scans: int
) -> None:
    world = make_world(objects=NoPuts(why))
    scan_id = world.upload(grey(FLAGGED))
    states = []
    for _ in range(scans):
        scan = world.scan(scan_id)
        states.append(scan.state)
        world.scans.dispatch(scan_id)
    assert states == [ScanState.QUEUED] * (scans - 1) + [ScanState.COMPLETED]
    assert scan.verdict is not None
    assert (scan.verdict["verdict"], scan.heatmaps) == ("ai_generated", [])


@pytest.mark.parametrize("part", ["objects", "bundles"])
def test_an_outage_gives_up_no_image_however_long_it_lasts(world: World, part: str) -> None:
    scan_id = world.upload(grey(CLEAR))
    getattr(world, part).trouble = TransientError("out of reach")
    for _ in range(10):
        scan = world.scan(scan_id)
        assert scan.state is ScanState.QUEUED
        assert scan.retry_in is not None
        assert scan.retry_in <= 450
        world.scans.dispatch(scan_id)
    getattr(world, part).trouble = None
    assert world.scan(scan_id).state is ScanState.COMPLETED


@pytest.mark.parametrize("when", ["at the lease", "at the end"])
def test_a_database_that_is_away_is_waited_for_quietly(make_world: Callable[..., World], when: str) -> None:
    scans, away = FakeScans(), TransientError("PostgreSQL does not answer")

    def cut(call: Any, item: Any, *, alone: bool) -> Any:
        del alone
        scans.trouble = away
        return call([item])[0]

    world = make_world(run=cut, scans=scans)
    scan_id = world.upload(grey(CLEAR))
    if when == "at the lease":
        scans.trouble = away
    scan = world.scan(scan_id)
    assert scan.state is (ScanState.DISPATCHED if when == "at the lease" else ScanState.LEASED)
    assert (scan.attempts, scan.verdict) == (0, None)


def test_one_bad_image_never_hurts_its_neighbours(make_world: Callable[..., World]) -> None:
    world = make_world(max_batch=8, bundles=Bundles(FakeBundle(poison=frozenset({66, 77}))))
    bodies = [grey(66), grey(77), b"<html>", grey(CLEAR)[:40], *[grey(brightness) for brightness in range(1, 30)]]
    scan_ids = [world.upload(body, f"{number}.png") for number, body in enumerate(bodies)]
    with ThreadPoolExecutor(16) as pool:
        scans = list(pool.map(world.scan, scan_ids))
    assert [scan.state for scan in scans[:4]] == [ScanState.QUEUED] * 2 + [ScanState.REJECTED] * 2
    assert [(scan.state, scan.attempts) for scan in scans[4:]] == [(ScanState.COMPLETED, 0)] * 29
    assert [scan.verdict["probability"] for scan in scans[4:] if scan.verdict] == [
        pytest.approx(brightness / 255) for brightness in range(1, 30)
    ]
