"""Opaque page cursors: where a list goes on. Pure."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Annotated

from fastapi import Query

from api.problems import InvalidError

MAX_LIMIT = 200
# Ids are Postgres bigints.
MAX_ID = 2**63 - 1
_PREFIX = b"1:"  # the version of the form, so that it can change

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Most items on a page.")]
Cursor = Annotated[str | None, Query(max_length=64, description="`next_cursor` of the page before.")]


def encode_cursor(last_id: int) -> str:
    """Return the cursor of the page after the item with this id."""
    return urlsafe_b64encode(_PREFIX + str(last_id).encode()).decode().rstrip("=")


def decode_cursor(cursor: str | None) -> int | None:
    """Return the id a page goes on from, None for the first page.

    Raises:
        InvalidError: this is no cursor of ours.
    """
    if cursor is None:
        return None
    try:
        decoded = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        if decoded.startswith(_PREFIX) and decoded[len(_PREFIX) :].isdigit():
            last_id = int(decoded.removeprefix(_PREFIX))
            if last_id <= MAX_ID:
                return last_id
    except ValueError:
        pass
    raise InvalidError("query", "cursor", "not a cursor that Assay gave out")


def next_cursor(ids: Sequence[int], limit: int) -> str | None:
    """Return the cursor after a page, given the ids found when one more than ``limit`` was asked for."""
    return encode_cursor(ids[limit - 1]) if len(ids) > limit else None
