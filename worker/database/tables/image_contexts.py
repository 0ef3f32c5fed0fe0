"""Where images stand on the platform."""

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from worker.database.tables.declaration import Base


class ImageContext(Base):
    """The post that an image belongs to, and its uploader as a keyed hash; erased with the image."""

    __tablename__ = "image_context"
    __table_args__ = (
        Index("ix_image_context_actor_hash", "actor_hash", "image_pk", postgresql_where=text("actor_hash IS NOT NULL")),
    )

    image_pk: Mapped[int] = mapped_column(ForeignKey("image.id"), primary_key=True, autoincrement=False)
    context_url: Mapped[str | None]
    actor_hash: Mapped[str | None]  # HMAC-SHA256 of the platform's id of a person, hex
