"""Verdicts as answers show them."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, Field

from api.schemas.scans import FromRow
from worker.database.tables import Image, Verdict
from worker.decisions.vocabulary import DecidedBy, VerdictValue


class Thresholds(BaseModel):
    """Below `lower` not AI-generated, above `upper` AI-generated, between them uncertain."""

    lower: float | None
    upper: float | None


class HeatmapOut(FromRow):
    """Spatial evidence of one detector; the pixels are behind `…/heatmap?detector=`."""

    detector: str
    method: str
    layer: str
    bundle_version: str = Field(description="Whose detector it explains; older than the verdict's where that has none.")
    key: str = Field(description="The overlay, in the artifact bucket.")
    raw_key: str | None = Field(default=None, description="The map itself as `.npy`, float32, likewise.")


class FrameOut(BaseModel):
    """One frame of an animation."""

    number: int = Field(description="Its place in the file, from 0.")
    at_ms: float = Field(description="When it is first shown, in milliseconds from the start.")
    probability: float = Field(description="Calibrated P(AI-generated) of this frame, prior shift included.")


class FramesOut(BaseModel):
    """What was judged of an animation."""

    count: int = Field(description="Frames in the file.")
    judged: list[int] = Field(description="Numbers of the frames that were judged.")
    deciding: FrameOut = Field(description="The frame that stands for the animation: the verdict's probability.")
    gravest: FrameOut = Field(
        description="The judged frame of the highest probability. It keeps the animation from being cleared where it "
        "would not be cleared as a picture of its own; alone it accuses nothing."
    )
    first_alone: bool = Field(description="The decoder gives the first picture alone; the others were not judged.")


class VerdictOut(BaseModel):
    """What was decided of an image, by what, with which bundle and policy."""

    verdict: VerdictValue
    probability: float | None = Field(description="Calibrated P(AI-generated), prior shift included.")
    thresholds: Thresholds
    detectors: dict[str, Any] = Field(
        description="Detector name to its `logit`, `probability` and `engine`, and the `weight` of its logit in the "
        "verdict's, which is 0 where it has no vote."
    )
    provenance: dict[str, Any] = Field(
        description="What the file says of its origin: `declares_ai`; `signed`, by somebody trusted; `forgeable`; "
        "unsigned `tags`; `declaration`, the gravest of them, with `strong`, `kind`, `tool` and `where`; "
        "`c2pa` with `state` (`trusted`, `untrusted`, `tampered`), `says`, `signer`, `generator` and "
        "`problems`; `camera`; `software`."
    )
    frames: FramesOut | None = Field(description="What was judged of an animation; null for still pictures.")
    bundle_version: str | None
    policy_version: int | None
    decided_by: DecidedBy = Field(
        description="`machine`: the pixels. `duplicate`: those of the same bytes. `provenance`: a trusted signature. "
        "`declared`: the file itself says so; anybody can write this. `human`: a person."
    )
    duplicate_of: int | None = Field(description="The verdict on an image of the same bytes that this one took over.")
    reviewer: str | None
    reason: str | None
    created_at: datetime

    @staticmethod
    def fields_of(verdict: Verdict) -> dict[str, Any]:
        """Return the fields of a verdict's row."""
        return {
            "verdict": verdict.verdict,
            "probability": verdict.probability,
            "thresholds": Thresholds(lower=verdict.lower_threshold, upper=verdict.upper_threshold),
            "detectors": verdict.detectors,
            "provenance": verdict.provenance,
            "frames": verdict.frames,
            "bundle_version": verdict.bundle_version,
            "policy_version": verdict.policy_version,
            "decided_by": verdict.decided_by,
            "duplicate_of": verdict.duplicate_of,
            "reviewer": verdict.reviewer,
            "reason": verdict.reason,
            "created_at": verdict.created_at,
        }


class ServedVerdict(VerdictOut):
    """The verdict that is served, with the newest heatmap of each detector."""

    heatmaps: list[HeatmapOut]


class ListedVerdict(VerdictOut):
    """A verdict in a list, with the version of the image it is for."""

    id: int
    image_version: str
    shadow: bool = Field(description="Made by a challenger, never served.")

    @classmethod
    def of(cls, verdict: Verdict, image: Image) -> Self:
        """Join a verdict and its image."""
        fields = cls.fields_of(verdict)
        return cls(**fields, id=verdict.id, image_version=image.version, shadow=verdict.shadow)


class PastVerdict(ListedVerdict):
    """A verdict in the history of an image."""

    withdrawn: bool = Field(description="Made by a bundle that was rolled back; not served while that holds.")

    @classmethod
    def in_history(cls, verdict: Verdict, image: Image, withdrawn: Collection[str]) -> Self:
        """Join a verdict and its image, knowing the bundles that were rolled back."""
        return cls(
            **cls.fields_of(verdict),
            id=verdict.id,
            image_version=image.version,
            shadow=verdict.shadow,
            withdrawn=verdict.bundle_version in withdrawn,
        )


class FoundVerdict(ListedVerdict):
    """A verdict with the image that it is for."""

    image_id: str
    source: str
    bucket: str
    key: str

    @classmethod
    def of(cls, verdict: Verdict, image: Image) -> Self:
        """Join a verdict and its image."""
        return cls(
            **cls.fields_of(verdict),
            id=verdict.id,
            image_version=image.version,
            shadow=verdict.shadow,
            image_id=image.image_id,
            source=verdict.source,
            bucket=image.bucket,
            key=image.key,
        )


class FoundVerdicts(BaseModel):
    """A page of verdicts, newest first."""

    items: list[FoundVerdict]
    next_cursor: str | None


class History(BaseModel):
    """A page of an image's verdicts, newest first."""

    items: list[PastVerdict]
    next_cursor: str | None
