"""How the scans of given objects ended: for the demo, the benchmark and the acceptance tests."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from worker.database.tables import Heatmap, Image, Scan, ScanKind, Verdict


@dataclass(frozen=True)
class Outcome:
    """One object, its live scan and its verdict, if it has one; times are aware."""

    key: str
    image_id: str
    state: str
    reason: str | None
    detail: str | None
    attempts: int
    lease_expiries: int
    timings: dict[str, float] | None
    created_at: datetime
    ended_at: datetime | None
    verdict: str | None = None
    decided_by: str | None = None
    probability: float | None = None
    detectors: dict[str, Any] = field(default_factory=dict)
    heatmaps: dict[str, str] = field(default_factory=dict)


def outcomes(session: Session, bucket: str, keys: Sequence[str]) -> list[Outcome]:
    """Return what is known of the objects with these keys, in no order; all versions of each."""
    rows = session.execute(
        select(Image, Scan, Verdict)
        .join(Scan, (Scan.image_pk == Image.id) & (Scan.kind == ScanKind.LIVE))
        .outerjoin(Verdict, Verdict.scan_id == Scan.id)
        .where(Image.bucket == bucket, Image.key.in_(keys))
    ).all()
    verdict_ids = [verdict.id for _, _, verdict in rows if verdict is not None]
    maps: dict[int, dict[str, str]] = {}
    for heatmap in session.scalars(select(Heatmap).where(Heatmap.verdict_id.in_(verdict_ids))):
        maps.setdefault(heatmap.verdict_id, {})[heatmap.detector] = heatmap.key
    return [_outcome(image, scan, verdict, maps) for image, scan, verdict in rows]


def _outcome(image: Image, scan: Scan, verdict: Verdict | None, maps: dict[int, dict[str, str]]) -> Outcome:
    decided: dict[str, Any] = {}
    if verdict is not None:
        decided = {
            "verdict": verdict.verdict,
            "decided_by": verdict.decided_by,
            "probability": verdict.probability,
            "detectors": verdict.detectors,
            "heatmaps": maps.get(verdict.id, {}),
        }
    return Outcome(
        image.key,
        image.image_id,
        scan.state,
        scan.reason,
        scan.detail,
        scan.attempts,
        scan.lease_expiries,
        scan.timings,
        scan.created_at,
        scan.finished_at,
        **decided,
    )
