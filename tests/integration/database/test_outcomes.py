"""How scans of given objects ended."""

import pytest

from tests.conftest import Scanned
from worker.database.outcomes import outcomes
from worker.database.scans import ImageFacts, Lease, Scans
from worker.errors import Reason

pytestmark = pytest.mark.integration


def complete(scans: Scans, lease: Lease) -> None:
    verdict = {
        "verdict": "ai_generated",
        "decided_by": "machine",
        "probability": 0.9,
        "detectors": {"clip": {"logit": 2.2, "probability": 0.9}},
        "provenance": {},
        "bundle_version": lease.bundle_version,
        "policy_version": lease.policy.version,
    }
    heatmap = {"detector": "clip", "method": "m", "layer": "l", "bundle_version": lease.bundle_version, "key": "h.png"}
    scans.complete(lease, verdict, [heatmap], ImageFacts("00", 1, 2, 3), {"fetch": 2.0})


def test_each_object_is_told_with_its_scan_and_its_verdict(scanned: Scanned) -> None:
    scanned.crown("b1")
    scans = Scans(scanned.database)
    good, bad = scanned.arrive("good.png"), scanned.arrive("bad.png")
    scanned.arrive("other.png")
    scanned.dispatch()
    good_lease, bad_lease = scans.lease(good, 60), scans.lease(bad, 60)
    assert good_lease is not None
    assert bad_lease is not None
    complete(scans, good_lease)
    scans.reject(bad_lease, Reason.UNDECODABLE, "cut short")
    with scanned.database.transaction() as session:
        found = {outcome.key: outcome for outcome in outcomes(session, "uploads", ["good.png", "bad.png", "none.png"])}
    assert found.keys() == {"good.png", "bad.png"}
    good_one, bad_one = found["good.png"], found["bad.png"]
    assert (good_one.state, good_one.verdict, good_one.probability) == ("completed", "ai_generated", 0.9)
    assert (good_one.heatmaps, good_one.timings) == ({"clip": "h.png"}, {"fetch": 2.0})
    assert (bad_one.state, bad_one.reason, bad_one.detail) == ("rejected", "undecodable", "cut short")
    assert (bad_one.verdict, bad_one.heatmaps, bad_one.ended_at is None) == (None, {}, False)


def test_of_no_objects_there_is_nothing_to_tell(scanned: Scanned) -> None:
    with scanned.database.transaction() as session:
        assert outcomes(session, "uploads", []) == []
