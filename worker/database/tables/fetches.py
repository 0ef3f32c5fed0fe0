"""Fetches: files that platforms name by address; and callbacks, where they want to be told of one image."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from worker.database.tables.declaration import Base, one_of
from worker.decisions.fetching import FetchState
from worker.decisions.priority import Priority

_OPEN = text("state IN ('queued', 'leased')")


class Fetch(Base):
    """A file to be fetched by a worker and put into the upload bucket, and where that stands."""

    __tablename__ = "url_fetch"
    __table_args__ = (
        one_of("state", FetchState),
        one_of("priority", Priority),
        Index("ix_url_fetch_due", "due_at", postgresql_where=_OPEN),
        # What is asked for twice is fetched once. Hashed: an entry of an index has to be short.
        Index("uq_url_fetch_open", text("md5((image_id || ' '::text) || url)"), unique=True, postgresql_where=_OPEN),
        Index("ix_url_fetch_image_id_id", "image_id", "id"),
        Index("ix_url_fetch_state_id", "state", "id"),
        Index("ix_url_fetch_image_pk", "image_pk"),
        Index("ix_url_fetch_finished_at", "finished_at"),
        Index("ix_url_fetch_endpoint_id", "endpoint_id", postgresql_where=text("endpoint_id IS NOT NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    image_id: Mapped[str]  # the platform's own id, as the object's metadata will say it
    source: Mapped[str | None]
    url: Mapped[str]
    priority: Mapped[str] = mapped_column(server_default=Priority.NORMAL)
    state: Mapped[str] = mapped_column(server_default=FetchState.QUEUED)
    # The next attempt of a queued one, the end of the lease of a leased one; null once final.
    due_at: Mapped[datetime | None] = mapped_column(server_default=func.now())
    lease_token: Mapped[UUID | None]
    attempts: Mapped[int] = mapped_column(server_default="0")
    reason: Mapped[str | None]
    detail: Mapped[str | None]
    # Names the object, so that a second attempt finds what a first one stored before its worker died.
    token: Mapped[UUID] = mapped_column(server_default=func.gen_random_uuid())
    endpoint_id: Mapped[int | None] = mapped_column(ForeignKey("webhook_endpoint.id", ondelete="SET NULL"))
    callback_url: Mapped[str | None]
    image_pk: Mapped[int | None] = mapped_column(ForeignKey("image.id"))
    api_key_id: Mapped[int | None] = mapped_column(ForeignKey("api_key.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]


class Callback(Base):
    """Where a platform wants to be told, once, what becomes of one image; signed as its endpoint's webhooks are."""

    __tablename__ = "callback"

    image_pk: Mapped[int] = mapped_column(ForeignKey("image.id"), primary_key=True, autoincrement=False)
    endpoint_id: Mapped[int] = mapped_column(
        ForeignKey("webhook_endpoint.id", ondelete="CASCADE"), primary_key=True, index=True, autoincrement=False
    )
    url: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
