"""What a verdict's row says: what was decided, by what, from which score and by which thresholds."""

from dataclasses import dataclass
from typing import Any

from worker.database.scans import Lease
from worker.decisions.verdict import Decision
from worker.decisions.vocabulary import DecidedBy
from worker.scan.score import Score


@dataclass(frozen=True)
class Judgement:
    """A score, what the policy makes of it, and where pictures were stored.

    Attributes:
        score: what the bundle makes of the image.
        decision: what the policy makes of the score.
        frame_key: of an animation's gravest frame.
        thumbnail_key: of the thumbnail of an image that waits for a person.
    """

    score: Score
    decision: Decision
    frame_key: str | None = None
    thumbnail_key: str | None = None


def verdict_row(lease: Lease, judgement: Judgement) -> dict[str, Any]:
    """Return columns of :class:`~worker.database.tables.Verdict` but for keys and times."""
    score, decision = judgement.score, judgement.decision
    row: dict[str, Any] = {
        "verdict": decision.verdict,
        "decided_by": decision.decided_by,
        "probability": decision.probability,
        "lower_threshold": decision.thresholds.lower,
        "upper_threshold": decision.thresholds.upper,
        "detectors": dict(score.detectors),
        "provenance": score.provenance.as_json(),
        "bundle_version": lease.bundle_version,
        "policy_version": lease.policy.version,
    }
    if score.frames is not None:
        row |= {"frames": score.frames.to_json(), "frame_key": judgement.frame_key}
    if score.duplicate_of is not None:
        row["duplicate_of"] = score.duplicate_of
        if decision.decided_by is DecidedBy.MACHINE:
            row["decided_by"] = DecidedBy.DUPLICATE
    return row
