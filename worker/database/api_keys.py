"""Keys of the API: made, checked, revoked and listed; only a hash of each is kept.

A key is ``assay_`` and 32 random bytes, so its SHA-256 needs no salt and no
slow hash: nobody can guess 256 bits.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from hmac import compare_digest
from secrets import token_urlsafe

from sqlalchemy import func, or_, select, update

from worker.database.audit import Actor, record
from worker.database.session import Database
from worker.database.tables import ApiKey

PREFIX = "assay_"
_RANDOM_BYTES = 32
# How far behind `last_used_at` may be, so that reading verdicts does not write to the key's row each time.
_LAST_USED_EVERY = timedelta(minutes=1)
_ITSELF = Actor("assay")


class Scope(StrEnum):
    """What a key allows; ``admin`` includes the others, ``operate`` all but review.

    Those with a colon include what stands before it.
    """

    READ = "read"
    INGEST = "ingest"
    PRIORITY = "ingest:priority"
    REVIEW = "review"
    DELEGATE = "review:delegate"
    LEAD = "review:lead"
    AUDIT = "audit"
    OPERATE = "operate"
    ADMIN = "admin"


# Whoever runs Assay does not decide about images.
_OPERATED = frozenset({Scope.READ, Scope.INGEST, Scope.PRIORITY, Scope.AUDIT})


@dataclass(frozen=True)
class Principal:
    """Who makes a request: the key that was shown, and what it allows."""

    key_id: int
    name: str
    scopes: frozenset[str]

    def may(self, scope: Scope) -> bool:
        """Tell whether the key has a scope, by itself or by one that includes it."""
        includes = {scope, Scope.ADMIN} | {wider for wider in Scope if wider.startswith(f"{scope}:")}
        if scope in _OPERATED:
            includes.add(Scope.OPERATE)
        return not includes.isdisjoint(self.scopes)

    def may_all(self, scopes: Collection[str]) -> bool:
        """Tell whether the key has all these scopes: nobody may give away what they do not have."""
        return all(self.may(Scope(scope)) for scope in scopes)


@dataclass(frozen=True)
class NewKey:
    """A key just made; ``key`` is shown this once and kept nowhere."""

    id: int
    key: str


class ApiKeys:
    """The table of keys; times are the database's own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self, name: str, scopes: Collection[Scope], expires_at: datetime | None = None, *, actor: Actor = _ITSELF
    ) -> NewKey:
        """Make a key.

        Args:
            name: for people, to tell keys apart.
            scopes: at least one.
            expires_at: aware time from which the key is refused; None for never.
            actor: who makes it, for the audit trail.

        Raises:
            ValueError: no scope, or one that does not exist.
        """
        if not scopes:
            raise ValueError("a key needs at least one scope")
        names = sorted({Scope(scope).value for scope in scopes})
        key = PREFIX + token_urlsafe(_RANDOM_BYTES)
        row = ApiKey(name=name, hash=fingerprint(key), scopes=names, expires_at=expires_at)
        with self._database.transaction() as session:
            session.add(row)
            session.flush()
            record(session, actor, "key.create", f"key:{row.id}", scopes=names)
            return NewKey(row.id, key)

    def verify(self, key: str) -> Principal | None:
        """Return whose key this is, or None for one that is unknown, expired or revoked.

        Raises:
            DatabaseDownError: nobody can tell now.
        """
        if not key.startswith(PREFIX):
            return None
        shown = fingerprint(key)
        stale = or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < func.now() - _LAST_USED_EVERY)
        valid = (
            select(ApiKey, stale)
            .where(ApiKey.hash == shown, ApiKey.revoked_at.is_(None))
            .where(or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.now()))
        )
        with self._database.transaction() as session:
            key_and_use = session.execute(valid).one_or_none()
            if key_and_use is None:
                return None
            row, unused_lately = key_and_use
            if not compare_digest(row.hash, shown):
                return None
            principal = Principal(row.id, row.name, frozenset(row.scopes))
            if unused_lately:
                session.execute(update(ApiKey).where(ApiKey.id == row.id, stale).values(last_used_at=func.now()))
        return principal

    def rotate(self, key_id: int, *, keep: timedelta, actor: Actor = _ITSELF) -> NewKey | None:
        """Make a key with name, scopes and expiry of another, which is refused after ``keep``.

        Returns:
            The new key, or None when there is no such key that still works.
        """
        works = select(ApiKey).where(
            ApiKey.id == key_id,
            ApiKey.role.is_(None),
            ApiKey.revoked_at.is_(None),
            or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.now()),
        )
        key = PREFIX + token_urlsafe(_RANDOM_BYTES)
        with self._database.transaction() as session:
            former = session.scalar(works.with_for_update())
            if former is None:
                return None
            row = ApiKey(name=former.name, hash=fingerprint(key), scopes=former.scopes, expires_at=former.expires_at)
            row.first_key_id = former.first_key_id or former.id
            session.add(row)
            session.flush()
            # LEAST leaves out what is null: a key without an end gets one.
            former.expires_at = func.least(former.expires_at, func.now() + keep)
            record(session, actor, "key.rotate", f"key:{key_id}", new_key=row.id)
            return NewKey(row.id, key)

    def revoke(self, key_id: int, *, actor: Actor = _ITSELF) -> bool:
        """Refuse a key from now on; False when there is none of that id that still works."""
        revoked = (
            update(ApiKey)
            .where(ApiKey.id == key_id, ApiKey.revoked_at.is_(None))
            .values(revoked_at=func.now())
            .returning(ApiKey.id)
        )
        with self._database.transaction() as session:
            done = session.scalar(revoked) is not None
            if done:
                record(session, actor, "key.revoke", f"key:{key_id}")
        return done

    def list(self) -> Sequence[ApiKey]:
        """Return all keys, oldest first, the revoked ones included; people are none."""
        with self._database.transaction() as session:
            return session.scalars(select(ApiKey).where(ApiKey.role.is_(None)).order_by(ApiKey.id)).all()


def fingerprint(key: str) -> str:
    """Return what is kept of a key: its SHA-256, hex."""
    # Of a key that is none anything may come, halves of surrogate pairs too.
    return sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
