"""Idempotency keys: a request that is sent again is answered again, not done again; remembered for a day."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from sqlalchemy import delete, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from worker.database.session import Database
from worker.database.tables import IdempotentRequest

_KEPT = text("interval '24 hours'")
# A request that has not been answered by now was cut off with its process; whoever sends it again takes it over.
_CUT_OFF = text("interval '2 minutes'")


class Claim(Enum):
    """What a key says of a request."""

    FIRST = auto()  # do it, then tell the answer or release the key
    RUNNING = auto()  # the first one is still being served
    OTHER = auto()  # the key was used for something else


@dataclass(frozen=True)
class Answer:
    """What a request was answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Idempotency:
    """The table of requests made under a key; each API key has names of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, api_key_id: int, key: str, fingerprint: str) -> Claim | Answer:
        """Claim a key for a request, or return what it was answered before.

        Args:
            api_key_id: whose request it is.
            key: as the client chose it.
            fingerprint: of what is asked, so that a key used for two things is noticed.
        """
        row = upsert(IdempotentRequest).values(api_key_id=api_key_id, key=key, fingerprint=fingerprint)
        known = IdempotentRequest
        free = or_(
            known.created_at < func.now() - _KEPT,
            known.status.is_(None)
            & (known.created_at < func.now() - _CUT_OFF)
            & (known.fingerprint == row.excluded.fingerprint),
        )
        anew = {"fingerprint": row.excluded.fingerprint, "status": None, "headers": None, "body": None}
        claimed = row.on_conflict_do_update(
            index_elements=["api_key_id", "key"], set_={**anew, "created_at": func.now()}, where=free
        ).returning(known.key)
        with self._database.transaction() as session:
            if session.scalar(claimed) is not None:
                return Claim.FIRST
            found = session.scalar(select(known).filter_by(api_key_id=api_key_id, key=key))
        return _claim_of(found, fingerprint)

    def answer(self, api_key_id: int, key: str, answer: Answer) -> None:
        """Keep what a claimed request was answered."""
        columns: dict[str, Any] = {"status": answer.status, "headers": dict(answer.headers), "body": answer.body}
        with self._database.transaction() as session:
            mine = update(IdempotentRequest).filter_by(api_key_id=api_key_id, key=key)
            session.execute(mine.values(**columns))

    def release(self, api_key_id: int, key: str) -> None:
        """Forget a claimed request that came to nothing, so that it may be sent again."""
        with self._database.transaction() as session:
            session.execute(
                delete(IdempotentRequest)
                .filter_by(api_key_id=api_key_id, key=key)
                .where(IdempotentRequest.status.is_(None))
            )

    def forget_old(self) -> int:
        """Forget what is older than a day; return how many."""
        with self._database.transaction() as session:
            old = delete(IdempotentRequest).where(IdempotentRequest.created_at < func.now() - _KEPT)
            return len(session.scalars(old.returning(IdempotentRequest.key)).all())


def _claim_of(found: IdempotentRequest | None, fingerprint: str) -> Claim | Answer:
    if found is None:  # released between two statements; the client comes again
        return Claim.RUNNING
    if found.fingerprint != fingerprint:
        return Claim.OTHER
    if found.status is None:
        return Claim.RUNNING
    return Answer(found.status, found.headers or {}, found.body or b"")
