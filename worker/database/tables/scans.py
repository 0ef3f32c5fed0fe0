"""Scans: one bundle over one image, and where that stands."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from worker.database.tables.declaration import Base, Json, one_of


class ScanState(StrEnum):
    """Where a scan stands; the last three are final."""

    QUEUED = "queued"
    DISPATCHED = "dispatched"
    LEASED = "leased"
    COMPLETED = "completed"
    REJECTED = "rejected"
    DEAD = "dead"


# Still to be done, by somebody or by nobody yet.
OPEN_STATES = (ScanState.QUEUED, ScanState.DISPATCHED, ScanState.LEASED)


class ScanKind(StrEnum):
    """Why a scan exists: an upload, a challenger in shadow, a rescan of history, evidence that somebody asked for."""

    LIVE = "live"
    SHADOW = "shadow"
    RESCAN = "rescan"
    HEATMAP = "heatmap"
    THUMBNAIL = "thumbnail"


# These make something to look at, and no verdict.
EVIDENCE_KINDS = (ScanKind.HEATMAP, ScanKind.THUMBNAIL)


class Scan(Base):
    """One bundle over one image, and where that stands."""

    __tablename__ = "scan"
    __table_args__ = (
        one_of("state", ScanState),
        one_of("kind", ScanKind),
        Index("uq_scan_live", "image_pk", unique=True, postgresql_where=text("kind = 'live'")),
        Index(
            "uq_scan_heatmap",
            "image_pk",
            "bundle_version",
            unique=True,
            postgresql_where=text("kind = 'heatmap' AND state IN ('queued', 'dispatched', 'leased')"),
        ),
        Index(
            "uq_scan_thumbnail",
            "image_pk",
            unique=True,
            postgresql_where=text("kind = 'thumbnail' AND state IN ('queued', 'dispatched', 'leased')"),
        ),
        Index("ix_scan_image_pk", "image_pk"),
        # The dispatcher's only question: what needs attention now, live before bulk.
        Index(
            "ix_scan_due",
            "queue",
            "due_at",
            postgresql_where=text("state IN ('queued', 'dispatched', 'leased')"),
        ),
        Index("ix_scan_state_id", "state", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    image_pk: Mapped[int] = mapped_column(ForeignKey("image.id"))
    kind: Mapped[str]
    queue: Mapped[str]  # Celery queue: `scan.live` or `scan.bulk`
    state: Mapped[str] = mapped_column(server_default=ScanState.QUEUED)
    # When this scan next needs the dispatcher: the next attempt of a queued
    # one, the end of the wait for a worker of a dispatched one, the end of the
    # lease of a leased one. Null once final.
    due_at: Mapped[datetime | None] = mapped_column(server_default=func.now())
    bundle_version: Mapped[str | None] = mapped_column(ForeignKey("bundle.version"))
    lease_token: Mapped[UUID | None]
    worker_id: Mapped[int | None]  # who leased it last; workers come and go, so it refers to no row
    attempts: Mapped[int] = mapped_column(server_default="0")
    lease_expiries: Mapped[int] = mapped_column(server_default="0")
    reason: Mapped[str | None]
    detail: Mapped[str | None]
    timings: Mapped[Json | None]  # stage -> milliseconds
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]
