"""What goes over the wire, in the README's words."""

from collections.abc import Collection
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from worker.database.duplicates import Near
from worker.database.served import ENDED, Served
from worker.database.tables import Image, Scan, ScanKind, ScanState, Verdict
from worker.decisions.action import Action
from worker.decisions.vocabulary import DecidedBy, VerdictValue


class FromRow(BaseModel):
    """Reads its fields from a row."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


class ScanOut(FromRow):
    """Where a scan stands; `reason` and `detail` say why one was rejected or is dead."""

    id: int
    kind: ScanKind
    state: ScanState
    reason: str | None
    detail: str | None
    attempts: int
    created_at: datetime
    finished_at: datetime | None


class ListedScan(ScanOut):
    """A scan in a list, with the image it is for."""

    image_id: str
    bucket: str
    key: str
    version: str

    @classmethod
    def of(cls, scan: Scan, image: Image) -> Self:
        """Join a scan and its image."""
        known = ScanOut.model_validate(scan).model_dump()
        return cls(**known, image_id=image.image_id, bucket=image.bucket, key=image.key, version=image.version)


class Scans(BaseModel):
    """A page of scans, newest first."""

    items: list[ListedScan]
    next_cursor: str | None


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
    detectors: dict[str, Any] = Field(description="Detector name to its `logit` and `probability`.")
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


class PendingReason(StrEnum):
    """Why an image has no verdict yet."""

    NEW = "new"
    WITHDRAWN = "withdrawn"


class Pending(BaseModel):
    """A verdict that is on its way."""

    reason: PendingReason = Field(
        description="`new`: nobody has judged the image yet. `withdrawn`: the bundle that had was rolled back, and the "
        "restored one is to judge it."
    )


class ImageOut(FromRow):
    """An image's newest version: where it lies, where its scan stands, what is served for it."""

    image_id: str
    source: str
    bucket: str
    key: str
    version: str
    sha256: str | None
    size_bytes: int | None
    width: int | None
    height: int | None
    truncated: bool = Field(description="The file breaks off; what is missing was judged as white.")
    created_at: datetime
    scan: ScanOut | None = Field(default=None, description="Newest scan; not told with `as_of`.")
    verdict: ServedVerdict | None = Field(default=None, description="Null until there is one.")
    pending: Pending | None = Field(
        default=None, description="Why there is no verdict yet; null with a verdict, and where the scan ended without."
    )
    recommended_action: Action | None = Field(
        default=None, description="What the policy that counts recommends; null while a verdict is on its way."
    )

    @classmethod
    def of(cls, served: Served) -> Self:
        """Join what is served."""
        image = cls.model_validate({name: getattr(served.image, name) for name in _IMAGE_COLUMNS})
        verdict = served.verdict and ServedVerdict(
            **ServedVerdict.fields_of(served.verdict),
            heatmaps=[HeatmapOut.model_validate(heatmap) for heatmap in served.heatmaps],
        )
        scan = served.scan and ScanOut.model_validate(served.scan)
        joined = {"scan": scan, "verdict": verdict, "pending": _pending(served), "recommended_action": served.action}
        return image.model_copy(update=joined)


_JOINED = {"scan", "verdict", "pending", "recommended_action"}
_IMAGE_COLUMNS = tuple(name for name in ImageOut.model_fields if name not in _JOINED)


def _pending(served: Served) -> Pending | None:
    if served.verdict is not None:
        return None
    if served.withdrawn:
        return Pending(reason=PendingReason.WITHDRAWN)
    return None if served.scan is None or served.scan.state in ENDED else Pending(reason=PendingReason.NEW)


class AcceptedScan(BaseModel):
    """The scan that an upload has started."""

    id: int
    state: ScanState


class Accepted(BaseModel):
    """An upload that is stored and waits for its scan."""

    image_id: str
    bucket: str
    key: str
    version: str
    scan: AcceptedScan


class AskedHeatmaps(BaseModel):
    """Heatmaps that were asked for; asking again changes nothing."""

    image_id: str
    ready: bool = Field(description="They are there already.")
    scan_id: int | None = Field(description="The scan that makes them, null when they are ready.")


class NearImage(BaseModel):
    """An image that looks like another one."""

    image_id: str
    source: str
    bucket: str
    key: str
    version: str
    created_at: datetime
    distance: int = Field(description="Bits of 256 in which the perceptual hashes (PDQ) differ.")
    same_bytes: bool = Field(description="It is the very same file.")

    @classmethod
    def of(cls, near: Near) -> Self:
        """Describe one."""
        columns = ("image_id", "source", "bucket", "key", "version", "created_at")
        named = {name: getattr(near.image, name) for name in columns}
        return cls(**named, distance=near.distance, same_bytes=near.same_bytes)


class NearImages(BaseModel):
    """Images that look like one, the nearest first."""

    items: list[NearImage]


class EventsTaken(BaseModel):
    """What became of the objects that an event named."""

    registered: int = Field(description="Images that are known now, whether new or not.")
    refused: int = Field(description="Objects that are no images here: other buckets, folders, ids that cannot be.")
    missing: int = Field(0, description="Of those registered: objects that the store did not have when it was asked.")
