"""A clock and a stop event for tests, which never wait."""

from collections.abc import Callable
from threading import Event


class FakeClock:
    """A clock that stands still until it is told to move; seconds."""

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds


class FakeStop(Event):
    """A stop event for loops: never waits, and is set after so many turns; ``between`` runs at each."""

    def __init__(self, turns: int, between: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self._turns = turns
        self._between = between

    def wait(self, timeout: float | None = None) -> bool:
        """Take a turn."""
        del timeout
        self._turns -= 1
        self._between()
        if self._turns <= 0:
            self.set()
        return self.is_set()
