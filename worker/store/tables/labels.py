"""Labels: human ground truth."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from worker.store.tables.declaration import Base


class Label(Base):
    """Human ground truth for an image."""

    __tablename__ = "label"
    __table_args__ = (
        CheckConstraint("label IN ('ai_generated', 'not_ai_generated')", name="label"),
        Index("ix_label_image_pk_id", "image_pk", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    image_pk: Mapped[int] = mapped_column(ForeignKey("image.id"))
    label: Mapped[str]
    reviewer: Mapped[str]
    reason: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
