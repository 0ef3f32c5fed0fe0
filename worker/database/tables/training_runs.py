"""Training runs and what is told of them."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from worker.database.tables.declaration import Base, Json, one_of


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
    lease_until: Mapped[datetime | None]  # whoever runs it renews this; past it, anybody may take the run over
    expiries: Mapped[int] = mapped_column(server_default=text("0"))  # leases that ended by themselves
    report: Mapped[Json | None]  # the gate's
    artifacts: Mapped[str | None]  # key prefix in the artifact bucket of what the run saw and made
    bundle_version: Mapped[str | None] = mapped_column(ForeignKey("bundle.version"))
    detail: Mapped[str | None]
    requested_by: Mapped[str]
    cancel_requested_at: Mapped[datetime | None]  # the run ends at its next heartbeat
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class TrainingEvent(Base):
    """Something that a training run told on its way: a stage it came to, how far it is, how it ended."""

    __tablename__ = "training_event"
    __table_args__ = (Index("ix_training_event_run_id_id", "run_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("training_run.id"))
    kind: Mapped[str]  # `stage`, `progress` or `state`
    data: Mapped[Json]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
