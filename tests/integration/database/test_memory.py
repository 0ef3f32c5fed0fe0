"""What a scan saw is kept with its verdict, recalled for the next bundle, and gone when the image is."""

import pytest

from tests.conftest import Scanned
from tests.integration.database.ledger import FACTS, lease_of, verdict_of
from worker.database.audit import Actor
from worker.database.erasure import Erasure
from worker.database.features import EarlierScan, Memory, StoredFeatures
from worker.database.scans import Scans
from worker.database.tables import Scan, ScanKind

pytestmark = pytest.mark.integration

SEEN = StoredFeatures(b"\x00\x3c\x00\x40", {"clip": 1.5, "convnext": -0.5}, (0.1, 0.2))


@pytest.fixture
def scans(scanned: Scanned) -> Scans:
    scanned.crown("b1")
    return Scans(scanned.database)


def test_what_a_scan_saw_is_recalled_with_what_the_file_said(scanned: Scanned, scans: Scans) -> None:
    lease = lease_of(scanned, scans, scanned.arrive())
    scans.complete(lease, verdict_of(lease), [], FACTS, {}, memory=SEEN)
    (earlier,) = Memory(scanned.database).recall(lease.image.id)
    assert earlier == EarlierScan("b1", SEEN, {}, None)
    Erasure(scanned.database, "artifacts").erase(Actor("me"), lease.image.image_id)
    assert Memory(scanned.database).recall(lease.image.id) == []


def test_what_was_judged_of_an_animation_is_recalled_too(scanned: Scanned, scans: Scans) -> None:
    lease = lease_of(scanned, scans, scanned.arrive())
    scans.complete(lease, {**verdict_of(lease), "frames": {"count": 2}}, [], FACTS, {}, memory=SEEN)
    (earlier,) = Memory(scanned.database).recall(lease.image.id)
    assert earlier.frames == {"count": 2}


def test_nothing_is_recalled_of_an_image_that_no_scan_has_seen(scanned: Scanned, scans: Scans) -> None:
    lease = lease_of(scanned, scans, scanned.arrive())
    scans.complete(lease, verdict_of(lease), [], FACTS, {})
    assert Memory(scanned.database).recall(lease.image.id) == []


def test_a_lease_says_whether_history_is_scanned_again(scanned: Scanned, scans: Scans) -> None:
    first = lease_of(scanned, scans, scanned.arrive())
    assert not first.rescan
    scans.complete(first, verdict_of(first), [], FACTS, {})
    with scanned.database.transaction() as session:
        again = Scan(image_pk=first.image.id, kind=ScanKind.RESCAN, queue="scan.live", bundle_version="b1")
        session.add(again)
        session.flush()
        scan_id = again.id
    assert lease_of(scanned, scans, scan_id).rescan
