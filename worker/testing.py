"""Fakes that ship with the code: small stand-ins for clock, stores, ledger and bundle, for tests of what uses them."""


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
