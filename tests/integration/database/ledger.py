"""Leases that are taken and ended, for tests of the ledger of scans."""

from typing import Any

from tests.conftest import Scanned
from worker.database.scans import ImageFacts, Lease, Scans

FACTS = ImageFacts(sha256="00ff", size_bytes=7, width=3, height=2)


def verdict_of(lease: Lease, verdict: str = "uncertain") -> dict[str, Any]:
    return {
        "verdict": verdict,
        "decided_by": "machine",
        "probability": 0.5,
        "detectors": {"clip": {"logit": 0.0, "probability": 0.5}},
        "provenance": {},
        "bundle_version": lease.bundle_version,
        "policy_version": lease.policy.version,
    }


def end(scans: Scans, lease: Lease) -> None:
    scans.complete(lease, verdict_of(lease), [], FACTS, {})


def lease_of(scanned: Scanned, scans: Scans, scan_id: int) -> Lease:
    """Dispatch and lease a scan that is due."""
    assert scan_id in scanned.dispatch()
    lease = scans.lease(scan_id, 60)
    assert lease is not None
    return lease
