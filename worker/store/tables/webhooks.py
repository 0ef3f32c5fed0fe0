"""Webhooks: where a platform wants to be told, and the outbox."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from worker.store.tables.declaration import Base, Json


class WebhookEndpoint(Base):
    """Where a platform wants to be told."""

    __tablename__ = "webhook_endpoint"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    url: Mapped[str]
    secret: Mapped[str]  # signs what is sent, so it cannot be a hash
    events: Mapped[list[str]]
    disabled_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class WebhookDelivery(Base):
    """The outbox: one message for one endpoint, written with what it tells of."""

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        Index("ix_webhook_delivery_endpoint_id_id", "endpoint_id", "id"),
        Index("ix_webhook_delivery_due", "due_at", postgresql_where=text("delivered_at IS NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    endpoint_id: Mapped[int] = mapped_column(ForeignKey("webhook_endpoint.id"))
    event: Mapped[str]
    payload: Mapped[Json]
    attempts: Mapped[int] = mapped_column(server_default="0")
    due_at: Mapped[datetime | None] = mapped_column(server_default=func.now())
    delivered_at: Mapped[datetime | None]
    last_status: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
