"""The review queue: images that wait for a person, who passed on which, and what leads set for the desk."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Text, func, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from worker.database.tables.declaration import Base

_UNCERTAIN = text("uncertain")


class ReviewItem(Base):
    """An image that waits for a person, or is held by one. Triggers on verdicts and labels keep it."""

    __tablename__ = "review_item"
    __table_args__ = (
        Index("ix_review_item_distance", "distance", "image_pk", postgresql_where=_UNCERTAIN),
        Index("ix_review_item_source_distance", "source", "distance", "image_pk", postgresql_where=_UNCERTAIN),
        Index("ix_review_item_queued_at", "queued_at", "image_pk", postgresql_where=_UNCERTAIN),
        Index("ix_review_item_claimed_by", "claimed_by"),
        Index(
            "ix_review_item_disputed_at", "disputed_at", "image_pk", postgresql_where=text("disputed_at IS NOT NULL")
        ),
        Index(
            "ix_review_item_cluster", "cluster", "distance", "image_pk", postgresql_where=text("cluster IS NOT NULL")
        ),
        Index("ix_review_item_not_compared", "image_pk", postgresql_where=text("uncertain AND compared_at IS NULL")),
    )

    image_pk: Mapped[int] = mapped_column(ForeignKey("image.id"), primary_key=True, autoincrement=False)
    source: Mapped[str]
    distance: Mapped[float]  # of the probability from one half, 0 to 0.5: the smallest is the most uncertain
    queued_at: Mapped[datetime] = mapped_column(server_default=func.now())
    claimed_by: Mapped[int | None] = mapped_column(ForeignKey("api_key.id"))
    claimed_until: Mapped[datetime | None]
    uncertain: Mapped[bool] = mapped_column(server_default=text("true"))  # false: here for a dispute or a claim alone
    disputed_at: Mapped[datetime | None]  # since when people disagree
    cluster: Mapped[int | None] = mapped_column(BigInteger)  # of look-alikes; null where it looks like none here
    compared_at: Mapped[datetime | None]  # when its look-alikes were looked for


class ReviewCluster(Base):
    """Images of the queue that look alike, named after the first of them."""

    __tablename__ = "review_cluster"
    __table_args__ = (
        Index("ix_review_cluster_images", text("images DESC"), "id"),
        Index("ix_review_cluster_created_at", "created_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    images: Mapped[int]  # that have been in it
    disagreement: Mapped[float]  # mean over images of the widest difference between detectors' probabilities, 0 to 1
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ReviewTerms(Base):
    """What leads set for the desk, for a source or, where it is empty, for all."""

    __tablename__ = "review_terms"
    __table_args__ = (CheckConstraint("daily_goal > 0", name="daily_goal"),)

    source: Mapped[str] = mapped_column(primary_key=True)
    reasons: Mapped[list[str]] = mapped_column(ARRAY(Text))  # the keys 1 to 9, in this order
    daily_goal: Mapped[int | None]  # images a person and day
    changed_by: Mapped[str]
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ReviewPass(Base):
    """A reviewer skipped an image or cannot tell; it is offered to others."""

    __tablename__ = "review_pass"

    image_pk: Mapped[int] = mapped_column(ForeignKey("image.id"), primary_key=True, autoincrement=False)
    api_key_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("api_key.id"), primary_key=True, autoincrement=False)
    cannot_tell: Mapped[bool]  # false: skipped
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
