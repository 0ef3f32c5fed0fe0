"""Answers that wait until there is something to say: a request holds no thread meanwhile, and few may wait at once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

_PAUSE_SECONDS = 0.5
LONGEST_SECONDS = 30
MOST_WAITING = 256

Answer = TypeVar("Answer")


class Waiting:
    """Looks again and again on behalf of requests that wait."""

    def __init__(
        self, *, most: int = MOST_WAITING, pause: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> None:
        """Keep the limit.

        Args:
            most: requests that wait at once; any more are answered as things stand.
            pause: waits so many seconds.
        """
        self._most = most
        self._pause = pause
        self._count = 0

    async def until(
        self,
        look: Callable[[], Awaitable[Answer]],
        is_enough: Callable[[Answer], bool],
        *,
        seconds: float,
        has_gone: Callable[[], Awaitable[bool]],
    ) -> Answer:
        """Return the first answer that is enough, or how things stand once the time is over.

        Args:
            look: asks how things stand.
            is_enough: tells whether that is worth an answer.
            seconds: that it may take.
            has_gone: tells whether nobody waits for the answer any more.
        """
        answer = await look()
        if self._count >= self._most:
            return answer
        self._count += 1
        try:
            left = seconds
            while left > 0 and not is_enough(answer) and not await has_gone():
                await self._pause(min(_PAUSE_SECONDS, left))
                left -= _PAUSE_SECONDS
                answer = await look()
        finally:
            self._count -= 1
        return answer
