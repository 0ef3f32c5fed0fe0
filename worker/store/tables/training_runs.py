"""Training runs."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from worker.store.tables.declaration import Base, Json, one_of


class RunState(StrEnum):
    """Where a training run stands; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class TrainingRun(Base):
    """A run that makes a bundle; its heartbeat lease owns it, not the message."""

    __tablename__ = "training_run"
    __table_args__ = (one_of("state", RunState), Index("ix_training_run_state", "state"))

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    recipe: Mapped[str]
    parameters: Mapped[Json]
    state: Mapped[str] = mapped_column(server_default=RunState.QUEUED)
    progress: Mapped[Json | None]
    lease_token: Mapped[UUID | None]
    heartbeat_at: Mapped[datetime | None]
    bundle_version: Mapped[str | None] = mapped_column(ForeignKey("bundle.version"))
    detail: Mapped[str | None]
    requested_by: Mapped[str]
    cancel_requested_at: Mapped[datetime | None]  # the run ends at its next heartbeat
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]
