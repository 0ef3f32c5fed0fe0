"""Every scan of an upload ends in exactly one event, however it ends."""

from collections.abc import Callable

import pytest
from sqlalchemy import select, text

from tests.conftest import Scanned
from tests.integration.database.ledger import FACTS, lease_of, verdict_of
from worker.database.audit import Actor
from worker.database.due_scans import DEAD_AFTER_EXPIRIES
from worker.database.scans import Scans
from worker.database.tables import Scan, ScanKind, WebhookDelivery
from worker.database.webhook_endpoints import Event, WebhookEndpoints
from worker.errors import LeaseLostError, Reason

pytestmark = pytest.mark.integration

ENDS = [Event.VERDICT_CREATED, Event.SCAN_REJECTED, Event.SCAN_DEAD]


@pytest.fixture
def scans(scanned: Scanned) -> Scans:
    scanned.crown("b1")
    WebhookEndpoints(scanned.database).add(Actor("me"), "https://platform.example/", ENDS)
    return Scans(scanned.database)


def new_events(scanned: Scanned) -> list[str]:
    with scanned.database.transaction() as session:
        return list(session.scalars(select(WebhookDelivery.event).order_by(WebhookDelivery.id)))


def complete(scanned: Scanned, scans: Scans) -> None:
    lease = lease_of(scanned, scans, scanned.arrive())
    scans.complete(lease, verdict_of(lease), [], FACTS, {})
    with pytest.raises(LeaseLostError):  # delivered twice
        scans.complete(lease, verdict_of(lease), [], FACTS, {})


def complete_a_duplicate(scanned: Scanned, scans: Scans) -> None:
    lease = lease_of(scanned, scans, scanned.arrive())
    scans.complete(lease, {**verdict_of(lease), "decided_by": "duplicate"}, [], FACTS, {})


def reject(scanned: Scanned, scans: Scans) -> None:
    lease = lease_of(scanned, scans, scanned.arrive())
    scans.reject(lease, Reason.UNDECODABLE, "damaged")
    with pytest.raises(LeaseLostError):
        scans.reject(lease, Reason.UNDECODABLE, "damaged")


def vanish(scanned: Scanned, scans: Scans) -> None:
    scans.reject(lease_of(scanned, scans, scanned.arrive()), Reason.GONE, "no such object")


def fail_for_the_last_time(scanned: Scanned, scans: Scans) -> None:
    scan_id = scanned.arrive()
    scans.fail(lease_of(scanned, scans, scan_id), "a defect", retry_in=0)
    assert new_events(scanned) == []  # it comes again
    scans.fail(lease_of(scanned, scans, scan_id), "a defect", retry_in=None)


def kill_every_worker(scanned: Scanned, scans: Scans) -> None:
    scan_id = scanned.arrive()
    for _ in range(DEAD_AFTER_EXPIRIES):
        lease_of(scanned, scans, scan_id)
        with scanned.database.transaction() as session:
            session.execute(
                text("UPDATE scan SET due_at = now() - interval '1 second' WHERE id = :id"), {"id": scan_id}
            )
    assert scanned.dispatch() == []


@pytest.mark.parametrize(
    ("end", "event"),
    [
        (complete, "verdict.created"),
        (complete_a_duplicate, "verdict.created"),
        (reject, "scan.rejected"),
        (vanish, "scan.rejected"),
        (fail_for_the_last_time, "scan.dead"),
        (kill_every_worker, "scan.dead"),
    ],
)
def test_a_scan_ends_in_exactly_one_event(
    scanned: Scanned, scans: Scans, end: Callable[[Scanned, Scans], None], event: str
) -> None:
    end(scanned, scans)
    assert new_events(scanned) == [event]


@pytest.mark.parametrize("kind", [ScanKind.SHADOW, ScanKind.HEATMAP])
def test_scans_that_no_platform_waits_for_are_told_to_nobody(scanned: Scanned, scans: Scans, kind: ScanKind) -> None:
    complete(scanned, scans)
    with scanned.database.transaction() as session:
        made = Scan(image_pk=1, kind=kind, queue="scan.live", bundle_version="b1")
        session.add(made)
        session.flush()
        scan_id = made.id
    scans.fail(lease_of(scanned, scans, scan_id), "a defect", retry_in=None)
    assert new_events(scanned) == ["verdict.created"]
