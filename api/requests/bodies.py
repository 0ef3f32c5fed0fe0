"""Reads request bodies under a limit of size, and all bodies together under a limit of memory."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.types import Message

from api.errors.catalogue import ErrorCode
from api.errors.problems import ProblemError

# What multipart adds to the bytes of the file: boundaries, part headers, the short fields.
MULTIPART_EXTRA_BYTES = 64 * 1024
_MOST_FIELDS = 16
_FIELD_BYTES = 16 * 1024


class MemoryBudget:
    """Bytes of bodies held at once; beyond it clients are asked to come again.

    Counted on the event loop's thread alone, so it needs no lock.
    """

    def __init__(self, total: int) -> None:
        self._left = total

    @contextmanager
    def hold(self) -> Iterator["Held"]:
        """Yield an account that is given back at the end."""
        held = Held(self)
        try:
            yield held
        finally:
            self._left += held.total

    def take(self, count: int) -> None:
        """Take bytes, or raise the 429 that says to come again."""
        if count > self._left:
            raise ProblemError(
                HTTPStatus.TOO_MANY_REQUESTS,
                "Too many uploads at once; try again.",
                code=ErrorCode.TOO_MANY_UPLOADS,
                headers={"Retry-After": "1"},
            )
        self._left -= count


class Held:
    """What one request holds of the budget."""

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self.total = 0

    def add(self, count: int) -> None:
        """Take more bytes from the budget, for this request."""
        self._budget.take(count)
        self.total += count


async def read_body(request: Request, limit: int, held: Held) -> bytes:
    """Return the body of a request.

    Raises:
        ProblemError: 413 beyond ``limit``, before reading when the request
            says so itself, else once the limit is passed.
    """
    return b"".join([chunk async for chunk in _chunks(request, limit, limit, held)])


@asynccontextmanager
async def read_form(request: Request, limit: int, held: Held) -> AsyncIterator[FormData]:
    """Yield a multipart form with at most one file; raises as :func:`read_body`, and 400 for a broken form."""
    chunks = _chunks(request, limit + MULTIPART_EXTRA_BYTES, limit, held)

    async def receive() -> Message:
        body = await anext(chunks, None)
        return {"type": "http.request", "body": body or b"", "more_body": body is not None}

    counted = Request(request.scope, receive)
    try:
        form = await counted.form(max_files=1, max_fields=_MOST_FIELDS, max_part_size=_FIELD_BYTES)
    except UnicodeError as error:
        raise not_its_charset() from error
    try:
        yield form
    finally:
        await form.close()


def not_its_charset() -> ProblemError:
    """Return the 400 of a form that is not in the character set that it names."""
    return ProblemError(HTTPStatus.BAD_REQUEST, "The form is not in the character set that it names; send UTF-8.")


def too_large(limit: int) -> ProblemError:
    """Return the 413 that names the limit."""
    return ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The limit is {limit} bytes.", limit_bytes=limit)


async def _chunks(request: Request, most: int, limit: int, held: Held) -> AsyncIterator[bytes]:
    claimed = request.headers.get("Content-Length", "")
    if claimed.isdecimal() and int(claimed) > most:
        raise too_large(limit)
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > most:
            raise too_large(limit)
        held.add(len(chunk))
        yield chunk
