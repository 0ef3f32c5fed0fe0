"""Webhooks: where a platform wants to be told, and the outbox."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from worker.database.tables.declaration import Base, Json


class WebhookEndpoint(Base):
    """Where a platform wants to be told."""

    __tablename__ = "webhook_endpoint"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    url: Mapped[str]
    secret: Mapped[str]  # signs what is sent, so it cannot be a hash
    events: Mapped[list[str]]
    description: Mapped[str] = mapped_column(server_default="")
    # Signs beside the new one for a while after a rotation, so that receivers can change over.
    previous_secret: Mapped[str | None]
    previous_secret_until: Mapped[datetime | None]
    failing_since: Mapped[datetime | None]  # the first failure since the last success
    failures: Mapped[int] = mapped_column(server_default="0")  # in a row
    retry_at: Mapped[datetime | None]  # nothing is sent before; null unless it fails
    disabled_at: Mapped[datetime | None]
    disabled_reason: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class WebhookDelivery(Base):
    """The outbox: one message for one endpoint, written by triggers in the transaction of what it tells of.

    The payload holds ids alone; what is sent is put together when it is sent.
    """

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        Index("ix_webhook_delivery_endpoint_id_id", "endpoint_id", "id"),
        Index(
            "ix_webhook_delivery_open",
            "endpoint_id",
            "due_at",
            postgresql_where=text("delivered_at IS NULL AND due_at IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    endpoint_id: Mapped[int] = mapped_column(ForeignKey("webhook_endpoint.id"))
    url: Mapped[str | None]  # of a callback; null: the endpoint's own
    event: Mapped[str]
    payload: Mapped[Json]
    attempts: Mapped[int] = mapped_column(server_default="0")
    # When to try next; null once delivered or given up.
    due_at: Mapped[datetime | None] = mapped_column(server_default=func.now())
    delivered_at: Mapped[datetime | None]
    attempted_at: Mapped[datetime | None]
    last_status: Mapped[int | None]
    last_error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
