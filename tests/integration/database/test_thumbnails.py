"""Thumbnails: found, asked for once, told of to nobody, and gone with their image or their age."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, text

from tests.conftest import Scanned
from tests.integration.database.test_duplicates import FACTS, scanned_once, verdict_columns
from worker.database.audit import Actor
from worker.database.dead_scans import DeadScans
from worker.database.erasure import Erasure
from worker.database.invariants import check_invariants
from worker.database.retention import Retentions
from worker.database.scans import Lease, Scans
from worker.database.served import Queries
from worker.database.tables import DoomedObject, Scan, ScanKind, Thumbnail, WebhookDelivery
from worker.database.thumbnails import FoundThumbnail, Thumbnails
from worker.database.webhook_endpoints import Event, WebhookEndpoints
from worker.errors import Reason

pytestmark = pytest.mark.integration

ME = Actor("me")
COMING, NEVER = FoundThumbnail(None, is_coming=True), FoundThumbnail(None)


@pytest.fixture
def judged(scanned: Scanned) -> Scanned:
    """A database with one image that a bundle has judged."""
    scanned.crown("b1")
    scanned_once(scanned, "a.png", heatmaps=False)
    return scanned


def leased(judged: Scanned) -> Lease:
    (scan_id,) = judged.dispatch()
    lease = Scans(judged.database).lease(scan_id, 60)
    assert lease is not None
    return lease


def thumbnail_scans(judged: Scanned) -> list[Scan]:
    with judged.database.transaction() as session:
        return list(session.scalars(select(Scan).where(Scan.kind == ScanKind.THUMBNAIL)))


def test_one_that_is_missing_is_made_by_a_scan_that_gives_no_verdict(judged: Scanned) -> None:
    thumbnails = Thumbnails(judged.database)
    assert thumbnails.find("a.png") == COMING
    lease = leased(judged)
    assert (lease.only_thumbnail, lease.only_heatmaps, lease.is_first) == (True, False, False)
    Scans(judged.database).keep_thumbnail(lease, "thumbnails/1/2.webp", {"look": 1.0})
    assert thumbnails.find("a.png") == FoundThumbnail("thumbnails/1/2.webp")
    assert len(judged.verdicts()) == 1
    assert [one.invariant.name for one in check_invariants(judged.database) if one.violations] == []


def test_many_who_look_at_once_ask_once(judged: Scanned, together: Callable[..., list[Any]]) -> None:
    thumbnails = Thumbnails(judged.database)
    assert together(*[lambda: thumbnails.find("a.png")] * 4) == [COMING] * 4
    assert len(thumbnail_scans(judged)) == 1


def test_an_unknown_image_has_none(judged: Scanned) -> None:
    assert Thumbnails(judged.database).find("nobody") is None


def test_a_request_is_not_shown_as_the_image_s_scan(judged: Scanned) -> None:
    Thumbnails(judged.database).find("a.png")
    served = Queries(judged.database).served("a.png")
    assert served is not None
    assert served.scan is not None
    assert served.scan.kind == ScanKind.LIVE


def test_a_file_that_is_no_picture_is_asked_for_once_and_nobody_is_told(judged: Scanned) -> None:
    WebhookEndpoints(judged.database).add(ME, "https://platform.example/", [Event.SCAN_REJECTED, Event.SCAN_DEAD])
    thumbnails = Thumbnails(judged.database)
    thumbnails.find("a.png")
    Scans(judged.database).reject(leased(judged), Reason.UNDECODABLE, "no picture")
    assert thumbnails.find("a.png") == NEVER
    with judged.database.transaction() as session:
        assert session.scalars(select(WebhookDelivery)).all() == []


def test_one_that_died_can_be_replayed(judged: Scanned) -> None:
    thumbnails = Thumbnails(judged.database)
    thumbnails.find("a.png")
    lease = leased(judged)
    Scans(judged.database).fail(lease, "broken", retry_in=None)
    assert thumbnails.find("a.png") == NEVER
    assert DeadScans(judged.database).replay(ME, lease.scan_id)
    assert thumbnails.find("a.png") == COMING


def test_the_verdict_of_what_waits_for_a_person_brings_its_thumbnail(scanned: Scanned) -> None:
    scanned.crown("b1")
    scan_id = scanned.arrive("a.png")
    scanned.dispatch()
    scans = Scans(scanned.database)
    lease = scans.lease(scan_id, 60)
    assert lease is not None
    scans.complete(lease, verdict_columns(lease), [], FACTS, {}, thumbnail_key="thumbnails/1/1.webp")
    assert Thumbnails(scanned.database).find("a.png") == FoundThumbnail("thumbnails/1/1.webp")
    assert thumbnail_scans(scanned) == []


def test_erasure_takes_it_and_all_that_a_late_worker_stores(judged: Scanned) -> None:
    Thumbnails(judged.database).find("a.png")
    lease = leased(judged)
    Scans(judged.database).keep_thumbnail(lease, "thumbnails/1/2.webp", {})
    assert Erasure(judged.database, "artifacts").erase(ME, "a.png") == 1
    with judged.database.transaction() as session:
        assert session.scalars(select(Thumbnail)).all() == []
        doomed = session.scalars(select(DoomedObject).where(DoomedObject.key.startswith("thumbnails/"))).all()
    assert [(one.key, one.prefix) for one in doomed] == [(f"thumbnails/{lease.image.id}/", True)] * 2


def test_it_goes_with_its_age_and_is_made_anew_when_somebody_looks(judged: Scanned) -> None:
    thumbnails, retentions = Thumbnails(judged.database), Retentions(judged.database, "artifacts")
    thumbnails.find("a.png")
    Scans(judged.database).keep_thumbnail(leased(judged), "thumbnails/1/2.webp", {})
    assert retentions.drop_thumbnails(1, most=10) == 0
    with judged.database.transaction() as session:
        session.execute(text("UPDATE thumbnail SET created_at = now() - interval '2 days'"))
    assert retentions.drop_thumbnails(1, most=10) == 1
    with judged.database.transaction() as session:
        assert session.scalars(select(DoomedObject.key)).all() == ["thumbnails/1/2.webp"]
    assert thumbnails.find("a.png") == COMING
