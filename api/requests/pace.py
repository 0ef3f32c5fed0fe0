"""How often somebody may do something: counted in Valkey, so that all API processes count together."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import ceil
from typing import Any, Protocol

from limits import RateLimitItem, parse
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError
from limits.util import WindowStats

from worker.errors import AssayError
from worker.log import get_logger

log = get_logger()

_ANSWER_SECONDS = 0.25
# How long what is left is counted on here before Valkey is asked for it again: half of what a count costs. Whether a
# request may be done is Valkey's to say each time.
_KNOWN_SECONDS, _MOST_KNOWN = 0.2, 1000
# While Valkey is away nobody is held up by it: requests go through uncounted.
_PAUSE_SECONDS = 5.0


class RateLimitError(AssayError):
    """ASSAY_RATE_LIMIT is no rate; write it like `200/second` or `6000 per minute`."""


@dataclass(frozen=True)
class Quota:
    """What somebody may still do.

    Attributes:
        allowed: whether this one may be done.
        most: in a window.
        window_seconds: its length.
        remaining: in this window.
        reset_seconds: until there is more, at least 1.
    """

    allowed: bool
    most: int
    window_seconds: int
    remaining: int
    reset_seconds: int

    def headers(self, name: str) -> dict[str, str]:
        """Return the header fields of draft-ietf-httpapi-ratelimit-headers, for a policy of this name."""
        return {
            "RateLimit-Policy": f'"{name}";q={self.most};w={self.window_seconds}',
            "RateLimit": f'"{name}";r={self.remaining};t={self.reset_seconds}',
        }


class Pace(Protocol):
    """Counts somebody's requests against a rate limit."""

    async def count(self, subject: str) -> Quota | None:
        """Count one; None where nothing is counted."""

    async def look(self, subject: str) -> Quota | None:
        """As `count`, but count nothing."""


class NoLimit:
    """A rate limit that nobody reaches."""

    async def count(self, subject: str) -> Quota | None:  # noqa: ARG002 - the protocol's.
        """Let everything through."""
        return None

    async def look(self, subject: str) -> Quota | None:  # noqa: ARG002 - the protocol's.
        """Let everything through."""
        return None


def read_rate(rate: str) -> RateLimitItem:
    """Read a rate such as ``200/second``; raises RateLimitError for one that cannot be read."""
    try:
        return parse(rate)
    except ValueError as error:
        raise RateLimitError from error


class ValkeyPace:
    """Counts in a sliding window held in Valkey or Redis."""

    def __init__(
        self,
        rate: str,
        redis_url: str,
        *,
        name: str = "key",
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float],
    ) -> None:
        """Keep the rate; nothing is contacted yet.

        Args:
            rate: such as ``200/second``.
            redis_url: as Celery takes it.
            name: of what is counted, apart from what others count.
            monotonic: seconds that only go forward.
            wall: seconds since the epoch, which Valkey counts in.

        Raises:
            RateLimitError: the rate cannot be read.
        """
        self._rate = read_rate(rate)
        storage = RedisStorage(
            f"async+{redis_url}",
            wrap_exceptions=True,
            implementation="redispy",
            key_prefix="assay.pace",
            socket_timeout=_ANSWER_SECONDS,
            socket_connect_timeout=_ANSWER_SECONDS,
        )
        self._storage = storage
        self._window = SlidingWindowCounterRateLimiter(storage)
        self._monotonic = monotonic
        self._wall = wall
        self._name = name
        self._resume_at = 0.0
        self._left: dict[str, tuple[float, WindowStats]] = {}  # by subject: until when it is counted on here

    async def count(self, subject: str) -> Quota | None:
        """Count a request; return what is left of the limit."""
        return await self._quota(self._window.hit, subject, cost=1)

    async def look(self, subject: str) -> Quota | None:
        """Look whether one more would be allowed."""
        return await self._quota(self._window.test, subject, cost=0)

    async def _quota(self, ask: Callable[..., Awaitable[bool]], subject: str, *, cost: int) -> Quota | None:
        if self._monotonic() < self._resume_at:
            return None
        try:
            allowed = await ask(self._rate, self._name, subject)
            stats = await self._stats(subject, cost, allowed=allowed)
        except StorageError as error:
            self._resume_at = self._monotonic() + _PAUSE_SECONDS
            log.warning("rate_uncounted", error=type(error.storage_error).__name__)
            return None
        reset_seconds = max(1, ceil(stats.reset_time - self._wall()))
        return Quota(allowed, self._rate.amount, self._rate.get_expiry(), max(0, stats.remaining), reset_seconds)

    async def _stats(self, subject: str, cost: int, *, allowed: bool) -> WindowStats:
        """Return what is left; counted down here for a moment, as long as nothing is refused."""
        now = self._monotonic()
        until, stats = self._left.get(subject, (now, None))
        if stats is None or now >= until or not allowed or stats.remaining <= 1:
            stats, until = await self._window.get_window_stats(self._rate, self._name, subject), now + _KNOWN_SECONDS
        else:
            stats = stats._replace(remaining=stats.remaining - cost)
        if len(self._left) >= _MOST_KNOWN:  # addresses are strangers' to choose
            self._left.clear()
        self._left[subject] = until, stats
        return stats

    async def close(self) -> None:
        """Close the connections."""
        connections: Any = self._storage.bridge
        await connections.storage.aclose()
