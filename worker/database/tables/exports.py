"""Exports: what happened within a period, as files in the artifact bucket."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from worker.database.tables.declaration import Base, one_of


class ExportContent(StrEnum):
    """What an export holds."""

    VERDICTS = "verdicts"
    DECISIONS = "decisions"
    APPEALS = "appeals"


class ExportFormat(StrEnum):
    """What its files are."""

    PARQUET = "parquet"
    CSV = "csv"


class ExportState(StrEnum):
    """Where an export stands; the last two are final."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Export(Base):
    """A request for files, and how far they have come; each file is committed with the place that follows it."""

    __tablename__ = "export"
    __table_args__ = (
        one_of("content", ExportContent),
        one_of("format", ExportFormat),
        one_of("state", ExportState),
        Index("ix_export_due", "due_at", postgresql_where=text("state IN ('queued', 'running')")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    content: Mapped[str]
    format: Mapped[str]
    since: Mapped[datetime]
    until: Mapped[datetime]
    state: Mapped[str] = mapped_column(server_default=ExportState.QUEUED)
    # The end of the lease of a running one; null once final.
    due_at: Mapped[datetime | None] = mapped_column(server_default=func.now())
    lease_token: Mapped[UUID | None]
    attempts: Mapped[int] = mapped_column(server_default="0")
    place_at: Mapped[datetime | None]  # of the last row that lies in a file
    place_id: Mapped[int | None] = mapped_column(BigInteger)
    rows: Mapped[int] = mapped_column(BigInteger, server_default="0")
    files: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default="[]")  # key, rows, bytes, sha256
    error: Mapped[str | None]
    api_key_id: Mapped[int | None] = mapped_column(ForeignKey("api_key.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]
