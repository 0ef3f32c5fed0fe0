"""Sessions of the console, in Postgres: they outlive a wiped broker, and end at once with the key they stand for."""

from datetime import timedelta
from secrets import token_urlsafe

from sqlalchemy import delete, func, or_, select

from worker.database.api_keys import Principal, fingerprint
from worker.database.session import Database
from worker.database.tables import ApiKey, ConsoleSession

LIFE = timedelta(hours=12)
_RANDOM_BYTES = 32


class ConsoleSessions:
    """Opens, checks and closes sessions."""

    def __init__(self, database: Database, life: timedelta = LIFE) -> None:
        self._database = database
        self.life = life

    def open(self, key_id: int) -> str:
        """Return the token of a new session of a key; it is shown this once. Sessions that are over are forgotten."""
        token = token_urlsafe(_RANDOM_BYTES)
        with self._database.transaction() as session:
            session.execute(delete(ConsoleSession).where(ConsoleSession.expires_at < func.now()))
            opened = ConsoleSession(token_hash=fingerprint(token), api_key_id=key_id, expires_at=func.now() + self.life)
            session.add(opened)
        return token

    def principal(self, token: str) -> Principal | None:
        """Return whose session this is; None when it is over, unknown, or its key works no more."""
        valid = (
            select(ApiKey.id, ApiKey.name, ApiKey.scopes)
            .join(ConsoleSession, ConsoleSession.api_key_id == ApiKey.id)
            .where(ConsoleSession.token_hash == fingerprint(token), ConsoleSession.expires_at > func.now())
            .where(ApiKey.revoked_at.is_(None), or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.now()))
        )
        with self._database.transaction() as session:
            row = session.execute(valid).one_or_none()
        return Principal(row.id, row.name, frozenset(row.scopes)) if row else None

    def close(self, token: str) -> None:
        """End a session."""
        with self._database.transaction() as session:
            session.execute(delete(ConsoleSession).where(ConsoleSession.token_hash == fingerprint(token)))
