"""Images as answers show them, and what becomes of those that are brought."""

from datetime import datetime
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, Field

from api.schemas.scans import FromRow, ScanOut
from api.schemas.verdicts import HeatmapOut, ServedVerdict
from worker.database.duplicates import Near
from worker.database.served import ENDED, ServedImage
from worker.database.tables import ScanState
from worker.decisions.action import Action


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
    truncated: bool = Field(
        description="The file breaks off: missing rows were judged as white, missing frames not at all."
    )
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
    def of(cls, served: ServedImage) -> Self:
        """Return the answer's form of an image with its scan and its verdict."""
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


def _pending(served: ServedImage) -> Pending | None:
    if served.verdict is not None:
        return None
    if served.withdrawn:
        return Pending(reason=PendingReason.WITHDRAWN)
    return None if served.scan is None or served.scan.state in ENDED else Pending(reason=PendingReason.NEW)


class AcceptedScan(BaseModel):
    """The scan that an upload has started."""

    id: int
    state: ScanState


class AcceptedUpload(BaseModel):
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
        """Return the answer's form of a database row."""
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
    missing: int = Field(
        0, description="Objects that the store did not have when it was asked, of which no image was made."
    )
