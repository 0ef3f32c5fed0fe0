"""Answers that are costly and may be a few seconds old."""

import time
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

Asked = TypeVar("Asked", bound=Hashable)
Answer = TypeVar("Answer")
_MOST = 64


class Remembered(Generic[Asked, Answer]):
    """Calls a function at most once in so many seconds for each argument; others wait for the one that asks."""

    def __init__(
        self, ask: Callable[[Asked], Answer], *, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._seconds = seconds
        self._clock = clock
        self._lock = Lock()
        self._answers: dict[Asked, tuple[Answer, float]] = {}

    def __call__(self, asked: Asked) -> Answer:
        """Return the answer, at most so many seconds old."""
        with self._lock:
            known = self._answers.get(asked)
            if known is not None and self._clock() < known[1]:
                return known[0]
            answer = self._ask(asked)
            if len(self._answers) >= _MOST:
                self._answers.clear()
            self._answers[asked] = (answer, self._clock() + self._seconds)
            return answer
