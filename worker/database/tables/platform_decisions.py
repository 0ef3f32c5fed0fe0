"""What platforms decided on images, for statements of reasons."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from worker.database.tables.declaration import Base, Json


class PlatformDecision(Base):
    """A platform's decision on one version of an image; the newest counts. Erased with the image."""

    __tablename__ = "platform_decision"
    __table_args__ = (Index("ix_platform_decision_image_pk_id", "image_pk", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    image_pk: Mapped[int] = mapped_column(ForeignKey("image.id"))
    verdict_id: Mapped[int | None] = mapped_column(ForeignKey("verdict.id"))  # what was served then
    machine_verdict_id: Mapped[int | None] = mapped_column(ForeignKey("verdict.id"))  # what a machine had said by then
    terms: Mapped[Json]
    api_key_id: Mapped[int | None] = mapped_column(ForeignKey("api_key.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
