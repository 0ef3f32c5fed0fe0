"""Answers that are costly and may be a few seconds old."""

import time
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

Question = TypeVar("Question", bound=Hashable)
Answer = TypeVar("Answer")
_MOST = 64


class AnswerCache(Generic[Question, Answer]):
    """Calls a function at most once in so many seconds for each argument; others wait for the one that asks."""

    def __init__(
        self, ask: Callable[[Question], Answer], *, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._seconds = seconds
        self._clock = clock
        self._lock = Lock()
        self._answers: dict[Question, tuple[Answer, float]] = {}

    def __call__(self, question: Question) -> Answer:
        """Return the answer, at most so many seconds old."""
        with self._lock:
            kept = self._answers.get(question)
            if kept is not None and self._clock() < kept[1]:
                return kept[0]
            answer = self._ask(question)
            if len(self._answers) >= _MOST:
                self._answers.clear()
            self._answers[question] = (answer, self._clock() + self._seconds)
            return answer
