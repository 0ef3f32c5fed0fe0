"""How long what is kept, and what is on its way out."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Identity, func
from sqlalchemy.orm import Mapped, mapped_column

from worker.database.tables.declaration import Base


class Retention(Base):
    """A version of how many days things are kept, null for ever; append-only, the newest counts."""

    __tablename__ = "retention"
    __table_args__ = (
        CheckConstraint("image_days > 0 AND heatmap_days > 0 AND delivery_days > 0", name="days"),
        CheckConstraint("appeal_days > 0", name="appeal_days"),
    )

    version: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    image_days: Mapped[int | None]  # after which an image is erased
    heatmap_days: Mapped[int | None]
    delivery_days: Mapped[int]  # of webhook deliveries that have ended
    appeal_days: Mapped[int] = mapped_column(server_default="180")  # of who appealed and why, after the decision
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class DoomedObject(Base):
    """An object, or all under a prefix, that is to be deleted from the object store."""

    __tablename__ = "doomed_object"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    bucket: Mapped[str]
    key: Mapped[str]
    prefix: Mapped[bool]  # whether `key` is the beginning of many
    due_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
