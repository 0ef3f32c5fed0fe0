"""Heatmaps on request: queued once, made by a scan of its own kind, in nobody's way."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from tests.conftest import Scanned
from tests.integration.database.test_duplicates import scanned_once
from worker.database.audit import Actor
from worker.database.dead_scans import DeadScans
from worker.database.heatmap_requests import HeatmapRequest, HeatmapRequests, NotJudgedError
from worker.database.scans import Scans
from worker.database.served import Queries
from worker.database.tables import Heatmap, Scan, ScanKind, ScanState, WebhookDelivery
from worker.database.webhook_endpoints import Event, WebhookEndpoints
from worker.errors import Reason

pytestmark = pytest.mark.integration

ME = Actor("me")
NAMED = {"detector": "clip", "method": "grad-cam", "layer": "ln_1", "key": "x.png", "raw_key": "x.npy"}


@pytest.fixture
def judged(scanned: Scanned) -> Scanned:
    """A database with one image that a bundle has judged, without heatmaps."""
    scanned.crown("b1")
    scanned_once(scanned, "a.png", heatmaps=False)
    return scanned


def test_a_request_becomes_one_scan_and_its_heatmaps_join_the_verdict(judged: Scanned) -> None:
    requests, scans = HeatmapRequests(judged.database), Scans(judged.database)
    asked = requests.ask(ME, "a.png")
    assert asked is not None
    assert asked.scan_id is not None
    assert requests.ask(ME, "a.png") == asked
    assert judged.dispatch() == [asked.scan_id]
    lease = scans.lease(asked.scan_id, 60)
    assert lease is not None
    assert (lease.only_heatmaps, lease.shadow, lease.bundle_version) == (True, False, "b1")
    assert requests.ask(ME, "a.png") == asked
    scans.explain(lease, [{**NAMED, "bundle_version": "b1"}], {"decode": 1.0})
    assert requests.ask(ME, "a.png") == HeatmapRequest(ready=True)
    heatmap = Queries(judged.database).heatmap("a.png", "clip")
    assert heatmap is not None
    assert (heatmap.key, heatmap.raw_key) == ("x.png", "x.npy")
    [verdict] = judged.verdicts()
    assert heatmap.verdict_id == verdict.id


def test_asking_at_the_same_moment_queues_one_scan(judged: Scanned, together: Callable[..., list[Any]]) -> None:
    requests = HeatmapRequests(judged.database)
    asked = together(*[lambda: requests.ask(ME, "a.png")] * 4)
    assert len(set(asked)) == 1
    with judged.database.transaction() as session:
        assert len(session.scalars(select(Scan).where(Scan.kind == ScanKind.HEATMAP)).all()) == 1


def test_heatmaps_that_came_twice_stay_as_they_were_first(judged: Scanned) -> None:
    requests, scans = HeatmapRequests(judged.database), Scans(judged.database)
    asked = requests.ask(ME, "a.png")
    assert asked is not None
    judged.dispatch()
    lease = scans.lease(asked.scan_id or 0, 60)
    assert lease is not None
    row = {**NAMED, "bundle_version": "b1"}
    scans.explain(lease, [row, {**row, "key": "y.png"}], {})
    with judged.database.transaction() as session:
        assert [heatmap.key for heatmap in session.scalars(select(Heatmap))] == ["x.png"]


def test_an_unknown_image_is_none_and_one_without_a_verdict_is_refused(scanned: Scanned) -> None:
    scanned.crown("b1")
    scanned.arrive("new.png")
    requests = HeatmapRequests(scanned.database)
    assert requests.ask(ME, "nobody") is None
    with pytest.raises(NotJudgedError):
        requests.ask(ME, "new.png")


def test_a_request_is_not_shown_as_the_image_s_scan(judged: Scanned) -> None:
    HeatmapRequests(judged.database).ask(ME, "a.png")
    served = Queries(judged.database).served("a.png")
    assert served is not None
    assert served.scan is not None
    assert (served.scan.kind, served.scan.state) == (ScanKind.LIVE, ScanState.COMPLETED)


@pytest.mark.parametrize("gone", [True, False])
def test_nobody_is_told_of_heatmaps_that_cannot_be_drawn(judged: Scanned, *, gone: bool) -> None:
    events = [Event.SCAN_REJECTED, Event.SCAN_DEAD]
    WebhookEndpoints(judged.database).add(ME, "https://platform.example/", events)
    asked = HeatmapRequests(judged.database).ask(ME, "a.png")
    assert asked is not None
    judged.dispatch()
    scans = Scans(judged.database)
    lease = scans.lease(asked.scan_id or 0, 60)
    assert lease is not None
    if gone:
        scans.reject(lease, Reason.GONE, "deleted")
    else:
        scans.fail(lease, "cannot be drawn", retry_in=None)
    with judged.database.transaction() as session:
        assert session.scalars(select(WebhookDelivery)).all() == []


def test_a_request_that_died_can_be_asked_for_again(judged: Scanned) -> None:
    requests, scans = HeatmapRequests(judged.database), Scans(judged.database)
    first = requests.ask(ME, "a.png")
    assert first is not None
    judged.dispatch()
    lease = scans.lease(first.scan_id or 0, 60)
    assert lease is not None
    scans.fail(lease, "cannot be drawn", retry_in=None)
    second = requests.ask(ME, "a.png")
    assert second is not None
    assert second.scan_id not in {None, first.scan_id}
    assert not DeadScans(judged.database).replay(ME, first.scan_id or 0)
