"""Whether a worker lives: every part that all its images pass through makes progress."""

from collections.abc import Callable
from typing import Protocol


class MovingPart(Protocol):
    """A part that can stand still, such as the device's thread, or the decoder processes together."""

    def alive(self) -> bool:
        """Tell whether it makes progress, or has nothing to do."""


def liveness(*parts: MovingPart) -> Callable[[], bool]:
    """Return what `/health/live` asks: false as soon as one part stands still beyond its deadline."""
    return lambda: all(part.alive() for part in parts)
