"""Opaque page cursors: where a list goes on. Pure."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Query

from api.errors.problems import InvalidError
from worker.database.search import Position

MAX_LIMIT = 200
# Ids are Postgres bigints.
MAX_ID = 2**63 - 1
# The versions of the forms, so that they can change: an id, and a time with an id.
_PREFIX = b"1:"
_POSITION_PREFIX = b"2:"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND_DIGITS = 17  # until the year 5138

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Most items on a page.")]
Cursor = Annotated[str | None, Query(max_length=64, description="`next_cursor` of the page before.")]


def encode_cursor(last_id: int) -> str:
    """Return the cursor of the page after the item with this id."""
    return _encoded(_PREFIX, str(last_id))


def decode_cursor(cursor: str | None) -> int | None:
    """Return the id a page goes on from, None for the first page.

    Raises:
        InvalidError: this is no cursor of ours.
    """
    if cursor is None:
        return None
    decoded = _decoded(cursor, _PREFIX)
    if decoded is None or (last_id := _id(decoded)) is None:
        raise _invalid()
    return last_id


def encode_position(position: Position) -> str:
    """Return the cursor of the page after this position."""
    microseconds = (position.created_at - _EPOCH) // timedelta(microseconds=1)
    return _encoded(_POSITION_PREFIX, f"{microseconds},{position.id}")


def decode_position(cursor: str | None) -> Position | None:
    """Return the position that a page goes on from, None for the first page; raises as :func:`decode_cursor`."""
    if cursor is None:
        return None
    microseconds, _, last = (_decoded(cursor, _POSITION_PREFIX) or "").partition(",")
    last_id = _id(last)
    if last_id is None or not microseconds.isdecimal() or len(microseconds) > _MICROSECOND_DIGITS:
        raise _invalid()
    return Position(_EPOCH + timedelta(microseconds=int(microseconds)), last_id)


def next_cursor(ids: Sequence[int], limit: int) -> str | None:
    """Return the cursor after a page, given the ids found when one more than ``limit`` was asked for."""
    return encode_cursor(ids[limit - 1]) if len(ids) > limit else None


def _encoded(prefix: bytes, text: str) -> str:
    return urlsafe_b64encode(prefix + text.encode()).decode().rstrip("=")


def _decoded(cursor: str, prefix: bytes) -> str | None:
    try:
        decoded = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        return decoded.removeprefix(prefix).decode("ascii") if decoded.startswith(prefix) else None
    except ValueError:
        return None


def _id(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) <= len(str(MAX_ID)) and int(text) <= MAX_ID else None


def _invalid() -> InvalidError:
    return InvalidError("query", "cursor", "not a cursor that Assay gave out")
