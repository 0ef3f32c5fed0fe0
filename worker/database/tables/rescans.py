"""Rescans of history: a filter, a bundle and a rate; the dispatcher makes the scans bit by bit."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from worker.database.tables.declaration import Base, Json, one_of


class RescanState(StrEnum):
    """Where a rescan stands; the last two are final."""

    RUNNING = "running"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class Rescan(Base):
    """A wish to scan history again, and how far it has come."""

    __tablename__ = "rescan"
    __table_args__ = (
        one_of("state", RescanState),
        CheckConstraint("rate > 0", name="rate"),
        Index("ix_rescan_state", "state"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    filter: Mapped[Json]  # source, verdict, judged_by, since, until, probability_from, probability_to; what is absent
    bundle_version: Mapped[str] = mapped_column(ForeignKey("bundle.version"))
    rate: Mapped[float]  # scans made a second, at most
    state: Mapped[str] = mapped_column(server_default=RescanState.RUNNING)
    after_image: Mapped[int] = mapped_column(BigInteger, server_default="0")  # image rows up to this one are done
    examined: Mapped[int] = mapped_column(BigInteger, server_default="0")  # image rows looked at
    queued: Mapped[int] = mapped_column(BigInteger, server_default="0")  # scans made
    reason: Mapped[str]
    requested_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    stepped_at: Mapped[datetime] = mapped_column(server_default=func.now())  # when scans were last made
    finished_at: Mapped[datetime | None]
