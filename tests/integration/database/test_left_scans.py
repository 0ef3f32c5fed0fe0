"""Scans that a worker took and could not end, since the database was away: they come again at once."""

import pytest

from tests.conftest import Scanned
from worker.database.scans import Scans
from worker.database.tables import ScanState

pytestmark = pytest.mark.integration


def test_what_a_worker_cannot_end_is_queued_again_and_held_against_nobody(scanned: Scanned) -> None:
    scanned.crown("b1")
    scans = Scans(scanned.database)
    first, second, third = scanned.arrive("a.png"), scanned.arrive("b.png"), scanned.arrive("c.png")
    scanned.dispatch()
    lease = scans.lease(first, 60)
    assert lease is not None
    scans.queue_again({first: lease.token, second: None})
    assert {scanned.scan(scan_id).state for scan_id in (first, second)} == {ScanState.QUEUED}
    assert scanned.scan(third).state == ScanState.DISPATCHED
    assert (scanned.scan(first).attempts, scanned.scan(first).lease_expiries) == (0, 0)
    assert sorted(scanned.dispatch()) == [first, second]
    other = scans.lease(first, 60)
    scans.queue_again({first: lease.token})
    assert other is not None
    assert scanned.scan(first).state == ScanState.LEASED
