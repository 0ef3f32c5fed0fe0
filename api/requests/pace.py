"""How often a key may ask: counted in Valkey, so that all API processes count together."""

import time
from collections.abc import Callable
from math import ceil
from typing import Any, Protocol

from limits import parse
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError

from worker.errors import AssayError
from worker.log import get_logger

log = get_logger()

_ANSWER_SECONDS = 0.25
# While Valkey is away nobody is held up by it: requests go through uncounted.
_PAUSE_SECONDS = 5.0


class RateLimitError(AssayError):
    """ASSAY_RATE_LIMIT is no rate; write it like `200/second` or `6000 per minute`."""


class Pace(Protocol):
    """Counts requests."""

    async def __call__(self, api_key_id: int) -> int | None:
        """Count one; return None where it may be served, else the seconds to wait."""


class Unlimited:
    """Counts nothing."""

    async def __call__(self, api_key_id: int) -> int | None:  # noqa: ARG002 - the protocol's.
        """Let every request through."""
        return None


class ValkeyPace:
    """Counts in a sliding window held in Valkey or Redis."""

    def __init__(
        self,
        rate: str,
        redis_url: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float],
    ) -> None:
        """Keep the rate; nothing is contacted yet.

        Args:
            rate: such as ``200/second``.
            redis_url: as Celery takes it.
            monotonic: seconds that only go forward.
            wall: seconds since the epoch, which Valkey counts in.

        Raises:
            RateLimitError: the rate cannot be read.
        """
        try:
            self._rate = parse(rate)
        except ValueError as error:
            raise RateLimitError from error
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
        self._resume_at = 0.0

    async def __call__(self, api_key_id: int) -> int | None:
        """Count one request of a key."""
        if self._monotonic() < self._resume_at:
            return None
        try:
            if await self._window.hit(self._rate, str(api_key_id)):
                return None
            free_at = (await self._window.get_window_stats(self._rate, str(api_key_id))).reset_time
        except StorageError as error:
            self._resume_at = self._monotonic() + _PAUSE_SECONDS
            log.warning("rate_uncounted", error=type(error.storage_error).__name__)
            return None
        return max(1, ceil(free_at - self._wall()))

    async def close(self) -> None:
        """Close the connections."""
        connections: Any = self._storage.bridge
        await connections.storage.aclose()
