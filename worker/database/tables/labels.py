"""Labels: human ground truth."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from worker.database.tables.declaration import Base, one_of
from worker.decisions.vocabulary import VerdictValue


class LabelValue(StrEnum):
    """What people say of an image; who cannot tell gives no label."""

    AI_GENERATED = VerdictValue.AI_GENERATED
    NOT_AI_GENERATED = VerdictValue.NOT_AI_GENERATED


class Label(Base):
    """Human ground truth for an image."""

    __tablename__ = "label"
    __table_args__ = (
        one_of("label", LabelValue),
        Index("ix_label_image_pk_id", "image_pk", "id"),
        Index("ix_label_created_at", "created_at"),
        Index("ix_label_reviewer_created_at", "reviewer", "created_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    image_pk: Mapped[int] = mapped_column(ForeignKey("image.id"))
    label: Mapped[str]
    reviewer: Mapped[str]
    reason: Mapped[str]
    # Whose word it is, `key:7` or `reviewer:maria`; null where an older release counted the reviewer's name.
    voice: Mapped[str | None]
    of_duplicate: Mapped[bool] = mapped_column(server_default=text("false"))  # given to another image of these bytes
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Reviewer(Base):
    """A person whose name a backend may pass on with labels."""

    __tablename__ = "reviewer"

    name: Mapped[str] = mapped_column(primary_key=True)  # lower case, without spaces around it
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
