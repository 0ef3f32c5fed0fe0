"""Bundles that are registered, and what each does."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from worker.database.tables.declaration import Base, Json, one_of


class BundleRole(StrEnum):
    """What a registered bundle does: serve, scan in shadow, or rest."""

    CHAMPION = "champion"
    CHALLENGER = "challenger"
    REGISTERED = "registered"


class Bundle(Base):
    """A registered bundle; one champion and one challenger at a time."""

    __tablename__ = "bundle"
    __table_args__ = (
        one_of("role", BundleRole),
        Index("uq_bundle_champion", "role", unique=True, postgresql_where=text("role = 'champion'")),
        Index("uq_bundle_challenger", "role", unique=True, postgresql_where=text("role = 'challenger'")),
        CheckConstraint("(role = 'challenger') = (shadow_share IS NOT NULL)", name="shadow_share"),
        CheckConstraint("shadow_share > 0 AND shadow_share <= 1", name="share"),
    )

    version: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    role: Mapped[str]
    location: Mapped[str]  # `shipped:NAME`, or a key prefix in the artifact bucket
    card: Mapped[Json]
    # The calibration figures, read on request; null where an older release registered it and no worker has loaded it.
    figures: Mapped[Json | None] = mapped_column(deferred=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    promoted_at: Mapped[datetime | None]
    gate: Mapped[Json | None]  # the gate's report, `passed` among it; null where no gate judged the bundle
    shadow_share: Mapped[float | None]  # of live images that a challenger scans in shadow, 0 to 1; null for others
    challenged_at: Mapped[datetime | None]  # since when it scans in shadow, or last did


class Promotion(Base):
    """When which bundle became champion, by whom and why; append-only."""

    __tablename__ = "promotion"
    __table_args__ = (
        Index("ix_promotion_withdraws", "withdraws", postgresql_where=text("withdraws IS NOT NULL")),
        Index("ix_promotion_bundle_version_id", "bundle_version", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    bundle_version: Mapped[str] = mapped_column(ForeignKey("bundle.version"))
    previous_version: Mapped[str | None] = mapped_column(ForeignKey("bundle.version"))
    rollback: Mapped[bool]
    reason: Mapped[str]
    created_by: Mapped[str]
    # The bundle whose verdicts are not served from here on, until it is promoted again; null for promotions.
    withdraws: Mapped[str | None] = mapped_column(ForeignKey("bundle.version"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
