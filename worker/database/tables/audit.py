"""The audit trail, and what was answered under an idempotency key."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, LargeBinary, func
from sqlalchemy.orm import Mapped, mapped_column

from worker.database.tables.declaration import Base, Json


class AuditEntry(Base):
    """Who changed what, when, and by which request; append-only.

    Images are named by their row, never by the platform's id, so that an
    erased image is not named here for ever.
    """

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_action_id", "action", "id"), Index("ix_audit_target_id", "target", "id"))

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    actor: Mapped[str]
    api_key_id: Mapped[int | None] = mapped_column(ForeignKey("api_key.id"))
    action: Mapped[str]  # noun and verb: `label.add`
    target: Mapped[str]  # noun and id: `image:7`
    detail: Mapped[Json]
    request_id: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class IdempotentRequest(Base):
    """A request that was made under an idempotency key, and what it was answered; kept for a day."""

    __tablename__ = "idempotency"
    __table_args__ = (Index("ix_idempotency_created_at", "created_at"),)

    api_key_id: Mapped[int] = mapped_column(ForeignKey("api_key.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]  # SHA-256 of what was asked, hex
    status: Mapped[int | None]  # null while the first request is still served
    headers: Mapped[Json | None]
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
