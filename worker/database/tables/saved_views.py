"""Searches of the feed that people keep."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from worker.database.tables.declaration import Base, Json


class SavedView(Base):
    """A search of the feed under a name."""

    __tablename__ = "saved_view"
    __table_args__ = (Index("ix_saved_view_api_key_id", "api_key_id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    name: Mapped[str]
    query: Mapped[Json]  # field of the form -> what it says
    api_key_id: Mapped[int | None] = mapped_column(ForeignKey("api_key.id"))  # whose it is; null for the team's
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
