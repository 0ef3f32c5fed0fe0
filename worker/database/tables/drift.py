"""Drift: what a day's verdicts of one source and bundle look like beside those before; one row a day."""

from datetime import date, datetime

from sqlalchemy import BigInteger, ForeignKey, Identity, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from worker.database.tables.declaration import Base, Json


class Drift(Base):
    """The measures of one day, source and bundle; measured again the same day, they are replaced."""

    __tablename__ = "drift"
    __table_args__ = (UniqueConstraint("day", "source", "bundle_version"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    day: Mapped[date]  # UTC
    source: Mapped[str]
    bundle_version: Mapped[str] = mapped_column(ForeignKey("bundle.version"))
    measures: Mapped[Json]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
