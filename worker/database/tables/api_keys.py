"""Keys of the API."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Identity, func
from sqlalchemy.orm import Mapped, mapped_column

from worker.database.tables.declaration import Base


class ApiKey(Base):
    """A key of the API; only its hash is kept."""

    __tablename__ = "api_key"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    name: Mapped[str]
    hash: Mapped[str] = mapped_column(unique=True)  # SHA-256 of the key, hex
    scopes: Mapped[list[str]]
    role: Mapped[str | None]  # of a person who signs in through the identity provider; null for keys
    first_key_id: Mapped[int | None] = mapped_column(ForeignKey("api_key.id"))  # the key that rotations began with
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
