"""Changes: the outbox of all that happens to what is served, and the feed made of it."""

from datetime import datetime

from sqlalchemy import BigInteger, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from worker.database.tables.declaration import Base, Json


class Change(Base):
    """Something that happened, written by triggers in its own transaction; webhook deliveries are made of it.

    The payload holds ids alone; what is sent is put together when it is sent.
    """

    __tablename__ = "change"
    __table_args__ = (
        Index("uq_change_number", "number", unique=True),
        Index("ix_change_unnumbered", "id", postgresql_where=text("number IS NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)  # not the order of commits
    # Its place in the feed, given after the commit by one writer; null until then.
    number: Mapped[int | None] = mapped_column(BigInteger)
    event: Mapped[str]
    payload: Mapped[Json]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
