"""Sessions of the console: somebody showed a key and has a cookie for it."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from worker.database.tables.declaration import Base


class ConsoleSession(Base):
    """A session; only the hash of its token is kept, and it ends with its key."""

    __tablename__ = "console_session"
    __table_args__ = (Index("ix_console_session_expires_at", "expires_at"),)

    token_hash: Mapped[str] = mapped_column(primary_key=True)  # SHA-256, hex
    api_key_id: Mapped[int] = mapped_column(ForeignKey("api_key.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]


class SignIn(Base):
    """A sign-in through the identity provider that is under way; it ends when the provider sends its answer."""

    __tablename__ = "sign_in"
    __table_args__ = (Index("ix_sign_in_expires_at", "expires_at"),)

    state_hash: Mapped[str] = mapped_column(primary_key=True)  # SHA-256 of the state, hex
    browser_hash: Mapped[str]  # of the cookie of the browser that began it
    nonce: Mapped[str]
    verifier: Mapped[str]  # of PKCE
    redirect_uri: Mapped[str]
    next_page: Mapped[str]  # the page to go to
    expires_at: Mapped[datetime]
