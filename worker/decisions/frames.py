"""Frames: what was judged of an animation, and which of its frames is the gravest. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True)
class FrameScore:
    """What a bundle makes of one frame.

    Attributes:
        number: its place in the file, from 0.
        at_ms: when it is first shown, in milliseconds from the start.
        probability: calibrated P(AI-generated), 0 to 1, with the same prior shift as the image's.
    """

    number: int
    at_ms: float
    probability: float


@dataclass(frozen=True)
class Frames:
    """What was judged of an animation.

    Attributes:
        count: how many frames the file has.
        numbers: of the frames that were judged, in order.
        deciding: the frame that stands for the animation; its probability is the image's.
        gravest: the judged frame of the highest probability, the first of equal ones.
        first_alone: the decoder gives the first picture alone, so that nothing is known of the others.
    """

    count: int
    numbers: tuple[int, ...]
    deciding: FrameScore
    gravest: FrameScore
    first_alone: bool = False

    @classmethod
    def of(cls, count: int, deciding: FrameScore, others: Sequence[FrameScore], *, first_alone: bool = False) -> Self:
        """Weigh the frames that were judged, in any order."""
        scores = sorted((deciding, *others), key=lambda score: score.number)
        gravest = max(scores, key=lambda score: score.probability)
        return cls(count, tuple(score.number for score in scores), deciding, gravest, first_alone)

    @classmethod
    def of_json(cls, record: Mapping[str, Any] | None) -> Self | None:
        """Read what :meth:`to_json` wrote; None for still pictures."""
        if record is None:
            return None
        deciding, gravest = FrameScore(**record["deciding"]), FrameScore(**record["gravest"])
        return cls(record["count"], tuple(record["judged"]), deciding, gravest, record["first_alone"])

    def to_json(self) -> dict[str, Any]:
        """Write as plain JSON values."""
        record = asdict(self)
        return {"count": record.pop("count"), "judged": list(record.pop("numbers")), **record}
