"""The review queue: images whose served verdict is uncertain, and who passed on which."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from worker.database.tables.declaration import Base


class ReviewItem(Base):
    """An image that waits for a person. A trigger on verdicts adds and removes it in the verdict's own transaction."""

    __tablename__ = "review_item"
    __table_args__ = (
        Index("ix_review_item_distance", "distance", "image_pk"),
        Index("ix_review_item_source_distance", "source", "distance", "image_pk"),
        Index("ix_review_item_queued_at", "queued_at", "image_pk"),
        Index("ix_review_item_claimed_by", "claimed_by"),
    )

    image_pk: Mapped[int] = mapped_column(ForeignKey("image.id"), primary_key=True, autoincrement=False)
    source: Mapped[str]
    distance: Mapped[float]  # of the probability from one half, 0 to 0.5: the smallest is the most uncertain
    queued_at: Mapped[datetime] = mapped_column(server_default=func.now())
    claimed_by: Mapped[int | None] = mapped_column(ForeignKey("api_key.id"))
    claimed_until: Mapped[datetime | None]


class ReviewPass(Base):
    """A reviewer skipped an image or cannot tell; it is offered to others."""

    __tablename__ = "review_pass"

    image_pk: Mapped[int] = mapped_column(ForeignKey("image.id"), primary_key=True, autoincrement=False)
    api_key_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("api_key.id"), primary_key=True, autoincrement=False)
    cannot_tell: Mapped[bool]  # false: skipped
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
