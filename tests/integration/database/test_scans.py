"""The ledger of scans on a real Postgres: leased once, ended once, taken back in time."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from tests.conftest import Scanned
from tests.integration.database.ledger import FACTS, end, lease_of, verdict_of
from worker.database.due_scans import DEAD_AFTER_EXPIRIES
from worker.database.images import BULK_QUEUE, LIVE_QUEUE
from worker.database.scans import SUSPECT_AFTER_EXPIRIES, Lease, Scans
from worker.database.tables import Heatmap, Image, Policy, Scan, ScanKind, ScanState
from worker.errors import LeaseLostError, Reason, TransientError

pytestmark = pytest.mark.integration


def heatmap_of(lease: Lease) -> dict[str, Any]:
    named = {"detector": "clip", "method": "gradcam", "layer": "ln_1"}
    return {**named, "bundle_version": lease.bundle_version, "key": f"heatmaps/{lease.image.id}.png"}


def test_a_scan_goes_from_arrival_to_verdict(scanned: Scanned, scans: Scans) -> None:
    scan_id = scanned.arrive()
    assert scanned.scan(scan_id).state == ScanState.QUEUED
    assert scanned.dispatch() == [scan_id]
    assert scanned.scan(scan_id).state == ScanState.DISPATCHED
    lease = scans.lease(scan_id, 60)
    assert lease is not None
    assert (lease.bundle_version, lease.policy.version, lease.shadow) == ("b1", 1, False)
    assert (lease.attempts, lease.suspect, lease.image.key) == (0, False, "a.png")
    assert scanned.scan(scan_id).state == ScanState.LEASED
    scans.complete(lease, verdict_of(lease), [heatmap_of(lease)], FACTS, {"fetch": 1.5})
    scan, [verdict] = scanned.scan(scan_id), scanned.verdicts()
    assert (scan.state, scan.due_at, scan.lease_token) == (ScanState.COMPLETED, None, None)
    assert (scan.finished_at is not None, scan.timings, scan.attempts) == (True, {"fetch": 1.5}, 0)
    assert (verdict.scan_id, verdict.image_pk, verdict.shadow) == (scan_id, scan.image_pk, False)
    with scanned.database.transaction() as session:
        image, heatmap = session.get_one(Image, scan.image_pk), session.scalars(select(Heatmap)).one()
    assert (image.sha256, image.width, image.height, heatmap.verdict_id) == ("00ff", 3, 2, verdict.id)


@pytest.mark.parametrize("state", ["queued", "leased", "completed", "rejected", "dead"])
def test_only_a_dispatched_scan_can_be_leased(scanned: Scanned, scans: Scans, state: str) -> None:
    scan_id = scanned.arrive()
    with scanned.database.transaction() as session:
        session.get_one(Scan, scan_id).state = state
    assert scans.lease(scan_id, 60) is None
    assert scanned.scan(scan_id).state == state


def test_a_scan_that_is_not_there_is_not_leased(scans: Scans) -> None:
    assert scans.lease(12345, 60) is None


def test_of_two_workers_that_get_the_same_message_one_leases(
    scanned: Scanned, scans: Scans, together: Callable[..., list[Any]]
) -> None:
    scan_id = scanned.arrive()
    scanned.dispatch()
    leases = together(*[lambda: scans.lease(scan_id, 60)] * 4)
    assert sum(lease is not None for lease in leases) == 1


def test_without_a_champion_a_live_scan_waits(scanned: Scanned) -> None:
    scan_id = scanned.arrive()
    scanned.dispatch()
    with pytest.raises(TransientError, match="no champion"):
        Scans(scanned.database).lease(scan_id, 60)
    assert scanned.scan(scan_id).state == ScanState.DISPATCHED


def test_a_live_scan_takes_the_champion_of_the_moment_even_when_tried_again(scanned: Scanned, scans: Scans) -> None:
    scan_id = scanned.arrive()
    scans.fail(lease_of(scanned, scans, scan_id), "broken", retry_in=0)
    assert scanned.crown("b2") == "b2"
    assert lease_of(scanned, scans, scan_id).bundle_version == "b2"


def test_a_rescan_keeps_the_bundle_and_a_shadow_its_shadow(scanned: Scanned, scans: Scans) -> None:
    image_pk = scanned.scan(scanned.arrive()).image_pk
    scanned.crown("b2")
    with scanned.database.transaction() as session:
        for kind in (ScanKind.RESCAN, ScanKind.SHADOW):
            session.add(Scan(image_pk=image_pk, kind=kind, queue=BULK_QUEUE, bundle_version="b1"))
    leases = [scans.lease(scan_id, 60) for scan_id in scanned.dispatch(BULK_QUEUE)]
    assert sorted((lease.bundle_version, lease.shadow) for lease in leases if lease) == [("b1", False), ("b1", True)]


def test_the_newest_policy_applies(scanned: Scanned, scans: Scans) -> None:
    scan_id = scanned.arrive()
    with scanned.database.transaction() as session:
        session.add(
            Policy(prior_shift=0.5, false_positive_budget=0.02, miss_budget=0.1, by_source={"x": {}}, created_by="me")
        )
    lease = lease_of(scanned, scans, scan_id)
    assert (lease.policy.version, lease.policy.prior_shift, lease.policy.by_source) == (2, 0.5, {"x": {}})


@pytest.mark.parametrize("act", ["complete", "reject", "fail", "give up"])
def test_a_worker_whose_lease_was_taken_back_changes_nothing(scanned: Scanned, scans: Scans, act: str) -> None:
    scan_id = scanned.arrive()
    late = lease_of(scanned, scans, scan_id)
    scanned.overdue(scan_id)
    current = lease_of(scanned, scans, scan_id)
    acts = {
        "complete": lambda: end(scans, late),
        "reject": lambda: scans.reject(late, Reason.UNDECODABLE, "late"),
        "fail": lambda: scans.fail(late, "late", retry_in=1),
        "give up": lambda: scans.fail(late, "late", retry_in=None),
    }
    with pytest.raises(LeaseLostError):
        acts[act]()
    scan = scanned.scan(scan_id)
    assert (scan.state, scan.lease_token, scan.attempts) == (ScanState.LEASED, current.token, 0)
    assert scanned.verdicts() == []
    end(scans, current)
    assert len(scanned.verdicts()) == 1


def test_a_lease_that_ran_out_but_was_not_taken_back_yet_still_counts(scanned: Scanned, scans: Scans) -> None:
    scan_id = scanned.arrive()
    lease = lease_of(scanned, scans, scan_id)
    scanned.overdue(scan_id)
    end(scans, lease)
    assert scanned.dispatch() == []


def test_of_many_completions_at_once_one_writes_the_verdict(
    scanned: Scanned, scans: Scans, together: Callable[..., list[Any]]
) -> None:
    lease = lease_of(scanned, scans, scanned.arrive())
    ends = together(*[lambda: end(scans, lease)] * 6)
    assert sorted(type(result).__name__ for result in ends) == ["LeaseLostError"] * 5 + ["NoneType"]
    assert len(scanned.verdicts()) == 1


def test_scans_of_one_image_with_one_bundle_and_policy_give_one_verdict(
    scanned: Scanned, scans: Scans, together: Callable[..., list[Any]]
) -> None:
    live = scanned.arrive()
    image_pk = scanned.scan(live).image_pk
    with scanned.database.transaction() as session:
        rescans = [Scan(image_pk=image_pk, kind="rescan", queue=LIVE_QUEUE, bundle_version="b1") for _ in range(3)]
        session.add_all(rescans)
    leases = [scans.lease(scan_id, 60) for scan_id in scanned.dispatch()]
    held = [lease for lease in leases if lease]
    acts = [
        lambda lease=lease: scans.complete(lease, verdict_of(lease), [heatmap_of(lease)], FACTS, {}) for lease in held
    ]
    assert together(*acts) == [None] * 4
    assert len(scanned.verdicts()) == 1
    with scanned.database.transaction() as session:
        assert len(session.scalars(select(Heatmap)).all()) == 1
        assert set(session.scalars(select(Scan.state))) == {ScanState.COMPLETED}


def test_a_new_policy_makes_room_for_a_new_verdict(scanned: Scanned, scans: Scans) -> None:
    end(scans, lease_of(scanned, scans, scanned.arrive()))
    with scanned.database.transaction() as session:
        session.add(Policy(prior_shift=0, false_positive_budget=0.02, miss_budget=0.1, by_source={}, created_by="me"))
        image_pk = session.scalars(select(Image.id)).one()
        session.add(Scan(image_pk=image_pk, kind="rescan", queue=LIVE_QUEUE, bundle_version="b1"))
    [rescan] = scanned.dispatch()
    lease = scans.lease(rescan, 60)
    assert lease is not None
    end(scans, lease)
    assert [verdict.policy_version for verdict in scanned.verdicts()] == [1, 2]


def test_a_rejected_scan_is_final_and_says_why(scanned: Scanned, scans: Scans) -> None:
    scan_id = scanned.arrive()
    scans.reject(lease_of(scanned, scans, scan_id), Reason.UNDECODABLE, "bad\x00 " + "x" * 1000)
    scan = scanned.scan(scan_id)
    assert (scan.state, scan.reason, scan.due_at) == (ScanState.REJECTED, "undecodable", None)
    assert scan.detail == ("bad " + "x" * 1000)[:500]
    assert scanned.dispatch() == []


def test_a_failed_scan_comes_again_when_its_time_has_come(scanned: Scanned, scans: Scans) -> None:
    scan_id = scanned.arrive()
    scans.fail(lease_of(scanned, scans, scan_id), "broken", retry_in=30)
    scan = scanned.scan(scan_id)
    assert (scan.state, scan.attempts, scan.detail) == (ScanState.QUEUED, 1, "broken")
    assert scanned.dispatch() == []
    scanned.overdue(scan_id)
    lease = lease_of(scanned, scans, scan_id)
    assert lease.attempts == 1
    end(scans, lease)
    assert scanned.scan(scan_id).detail is None


def test_a_scan_out_of_attempts_is_dead_with_a_reason(scanned: Scanned, scans: Scans) -> None:
    scan_id = scanned.arrive()
    scans.fail(lease_of(scanned, scans, scan_id), "broken", retry_in=None)
    scan = scanned.scan(scan_id)
    assert (scan.state, scan.reason, scan.detail) == (ScanState.DEAD, "attempts_exhausted", "broken")
    assert (scan.attempts, scan.due_at, scan.finished_at is None) == (1, None, False)


def test_leases_that_expire_are_counted_make_a_suspect_and_at_last_a_dead_scan(scanned: Scanned, scans: Scans) -> None:
    scan_id = scanned.arrive()
    suspects = []
    for _ in range(DEAD_AFTER_EXPIRIES):
        suspects.append(lease_of(scanned, scans, scan_id).suspect)
        scanned.overdue(scan_id)
    assert suspects == [number >= SUSPECT_AFTER_EXPIRIES for number in range(DEAD_AFTER_EXPIRIES)]
    assert scanned.dispatch() == []
    scan = scanned.scan(scan_id)
    assert (scan.state, scan.reason, scan.due_at) == (ScanState.DEAD, "attempts_exhausted", None)
    assert (scan.lease_expiries, scan.attempts) == (DEAD_AFTER_EXPIRIES, 0)


def test_a_lease_that_is_renewed_goes_on_and_a_lost_one_is_not_renewed(scanned: Scanned, scans: Scans) -> None:
    kept, lost = scanned.arrive("kept"), scanned.arrive("lost")
    scanned.dispatch()
    leases = [lease for lease in (scans.lease(kept, 60), scans.lease(lost, 60)) if lease is not None]
    scanned.overdue(lost)
    assert scanned.dispatch() == [lost]
    before = scanned.scan(kept).due_at
    assert scans.renew(leases, 600) == {leases[0].token}
    after = scanned.scan(kept).due_at
    assert before is not None
    assert after is not None
    assert (after - before).total_seconds() > 500
    assert scanned.scan(lost).state == ScanState.DISPATCHED
