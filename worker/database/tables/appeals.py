"""Appeals: somebody says that a verdict is wrong."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from worker.database.tables.declaration import Base, one_of
from worker.decisions.appeal import AppealState


class Appeal(Base):
    """An appeal against what was served for one version of an image."""

    __tablename__ = "appeal"
    __table_args__ = (
        one_of("state", AppealState),
        Index("uq_appeal_open", "image_pk", unique=True, postgresql_where=text("state = 'open'")),
        Index("ix_appeal_image_pk_id", "image_pk", "id"),
        Index("ix_appeal_state_id", "state", "id"),
        Index("ix_appeal_api_key_id_created_at", "api_key_id", "created_at"),
        Index("ix_appeal_decided_at", "decided_at", postgresql_where=text("reason IS NOT NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    image_pk: Mapped[int] = mapped_column(ForeignKey("image.id"))
    verdict_id: Mapped[int] = mapped_column(ForeignKey("verdict.id"))  # what was served then
    state: Mapped[str] = mapped_column(server_default=AppealState.OPEN)
    # Personal data, with a retention of their own; null once forgotten.
    reason: Mapped[str | None]
    contact: Mapped[str | None]  # the platform's own reference for whoever appeals
    api_key_id: Mapped[int | None] = mapped_column(ForeignKey("api_key.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    due_at: Mapped[datetime]  # by when it should be decided
    decision_verdict_id: Mapped[int | None] = mapped_column(ForeignKey("verdict.id"))
    voice: Mapped[str | None]  # of whoever decided, as in labels
    decided_at: Mapped[datetime | None]
