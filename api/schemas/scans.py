"""Scans as answers show them."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict

from worker.database.tables import Image, Scan, ScanKind, ScanState


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
        fields = ScanOut.model_validate(scan).model_dump()
        return cls(**fields, image_id=image.image_id, bucket=image.bucket, key=image.key, version=image.version)


class Scans(BaseModel):
    """A page of scans, newest first."""

    items: list[ListedScan]
    next_cursor: str | None
