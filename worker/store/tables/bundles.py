"""Bundles that are registered, and what each does."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from worker.store.tables.declaration import Base, Json, one_of


class BundleRole(StrEnum):
    """What a registered bundle does: serve, scan in shadow, or rest."""

    CHAMPION = "champion"
    CHALLENGER = "challenger"
    REGISTERED = "registered"


class Bundle(Base):
    """A registered bundle; one champion at a time."""

    __tablename__ = "bundle"
    __table_args__ = (
        one_of("role", BundleRole),
        Index("uq_bundle_champion", "role", unique=True, postgresql_where=text("role = 'champion'")),
    )

    version: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    role: Mapped[str]
    location: Mapped[str]  # `shipped:NAME`, or a key prefix in the artifact bucket
    card: Mapped[Json]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    promoted_at: Mapped[datetime | None]


class Promotion(Base):
    """When which bundle became champion, by whom and why; append-only."""

    __tablename__ = "promotion"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    bundle_version: Mapped[str] = mapped_column(ForeignKey("bundle.version"))
    previous_version: Mapped[str | None] = mapped_column(ForeignKey("bundle.version"))
    rollback: Mapped[bool]
    reason: Mapped[str]
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
