"""Idempotency keys: a request that is sent again is answered again, not done again; remembered for a day.

Key, work and answer are one transaction. A process that dies before the answer leaves nothing behind, and whoever
sends the request again does it for the first time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from psycopg.errors import LockNotAvailable
from sqlalchemy import delete, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from worker.database.session import Database, LongTransaction, outages_named
from worker.database.tables import IdempotentRequest

_KEPT = text("interval '24 hours'")
# An older release wrote the key before the work: what it has not answered by now was cut off with its process.
_CUT_OFF = text("interval '2 minutes'")
# Who holds a key longer than this is still being served. A machine that is lost holds it for as long as the second.
_LIMITS = (
    text("SET LOCAL lock_timeout = '200ms'"),
    text("SET LOCAL idle_in_transaction_session_timeout = '2min'"),
)
_NO_LIMIT = text("SET LOCAL lock_timeout TO DEFAULT")


class Claim(Enum):
    """What a key says of a request that is not to be done."""

    RUNNING = auto()  # the first one is still being served
    OTHER = auto()  # the key was used for something else


@dataclass(frozen=True)
class Answer:
    """What a request was answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class RequestClaim:
    """A request that is done for the first time: what follows is part of its transaction, until it is settled."""

    def __init__(self, transaction: LongTransaction, api_key_id: int, key: str) -> None:
        self._transaction = transaction
        self._api_key_id = api_key_id
        self._key = key

    def join(self) -> None:
        """Make what is done from now on in this context part of the transaction."""
        self._transaction.join()

    def leave(self) -> None:
        """Make what is done from now on in this context no part of it."""
        self._transaction.leave()

    def answer(self, answer: Answer) -> None:
        """Keep what the request was answered, and commit that with its work."""
        columns: dict[str, Any] = {"status": answer.status, "headers": dict(answer.headers), "body": answer.body}
        mine = update(IdempotentRequest).filter_by(api_key_id=self._api_key_id, key=self._key)
        with outages_named():
            self._transaction.session.execute(mine.values(**columns))
        self._transaction.end(commit=True)

    def release(self) -> None:
        """Undo a request that came to nothing, so that it may be sent again."""
        self._transaction.end(commit=False)


class Idempotency:
    """The table of requests made under a key; each API key has names of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, api_key_id: int, key: str, fingerprint: str) -> RequestClaim | Claim | Answer:
        """Claim a key for a request, or return what it was answered before.

        Args:
            api_key_id: whose request it is.
            key: as the client chose it.
            fingerprint: of what is asked, so that a key used for two things is noticed.
        """
        transaction = self._database.begin()
        try:
            with outages_named():
                claim = _claim(transaction.session, api_key_id, key, fingerprint)
        except BaseException:
            transaction.end(commit=False)
            raise
        if claim is None:
            return RequestClaim(transaction, api_key_id, key)
        transaction.end(commit=False)
        return claim

    def forget_old(self) -> int:
        """Forget what is older than a day; return how many."""
        with self._database.transaction() as session:
            old = delete(IdempotentRequest).where(IdempotentRequest.created_at < func.now() - _KEPT)
            return len(session.scalars(old.returning(IdempotentRequest.key)).all())


def _claim(session: Session, api_key_id: int, key: str, fingerprint: str) -> Claim | Answer | None:
    row = upsert(IdempotentRequest).values(api_key_id=api_key_id, key=key, fingerprint=fingerprint)
    requests = IdempotentRequest
    free = or_(
        requests.created_at < func.now() - _KEPT,
        requests.status.is_(None)
        & (requests.created_at < func.now() - _CUT_OFF)
        & (requests.fingerprint == row.excluded.fingerprint),
    )
    anew = {"fingerprint": row.excluded.fingerprint, "status": None, "headers": None, "body": None}
    claimed = row.on_conflict_do_update(
        index_elements=["api_key_id", "key"], set_={**anew, "created_at": func.now()}, where=free
    ).returning(requests.key)
    for limit in _LIMITS:
        session.execute(limit)
    try:
        mine = session.scalar(claimed) is not None
    except OperationalError as error:
        if isinstance(error.orig, LockNotAvailable):
            return Claim.RUNNING
        raise
    if mine:
        session.execute(_NO_LIMIT)
        return None
    return _claim_of(session.scalar(select(requests).filter_by(api_key_id=api_key_id, key=key)), fingerprint)


def _claim_of(earlier: IdempotentRequest | None, fingerprint: str) -> Claim | Answer:
    if earlier is None:  # given free between two statements; the client comes again
        return Claim.RUNNING
    if earlier.fingerprint != fingerprint:
        return Claim.OTHER
    if earlier.status is None:
        return Claim.RUNNING
    return Answer(earlier.status, earlier.headers or {}, earlier.body or b"")
