"""When a worker is lost: a dead process lets go of its lock at once, a frozen host shows no heartbeat."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

# A process whose connection broke holds no lock either, so it is given the time to connect again.
_UNLOCKED_SECONDS = 1.2
# Longer than any pause that a busy machine makes.
_LOCKED_SECONDS = 10.0


class SignOfLife(Protocol):
    """What shows that a worker lives."""

    @property
    def seen_at(self) -> datetime:
        """Its last heartbeat."""

    @property
    def locked(self) -> bool:
        """Whether its process holds its lock."""


@dataclass(frozen=True)
class _Look:
    seen_at: datetime
    first_at: float  # when this heartbeat was the last one for the first time
    locked: bool
    unlocked_at: float | None  # when the lock was free for the first time since


class Watch:
    """Looks at workers again and again, and says which of them are lost.

    Time counts from the first look that showed the same heartbeat, so a watch that starts, or that could not look
    for a while, takes nobody for lost who merely had nobody to report to.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """Keep the clock, in seconds."""
        self._monotonic = monotonic
        self._looks: dict[int, _Look] = {}

    def look(self, signs: Mapping[int, SignOfLife]) -> list[int]:
        """Return the ids of workers that are lost.

        Args:
            signs: what shows of each worker at this moment.
        """
        now = self._monotonic()
        self._looks = {worker_id: self._next(worker_id, sign, now) for worker_id, sign in signs.items()}
        return [worker_id for worker_id, look in self._looks.items() if _is_lost(look, now)]

    def start_anew(self) -> None:
        """Forget what was seen, since nobody could look."""
        self._looks = {}

    def _next(self, worker_id: int, sign: SignOfLife, now: float) -> _Look:
        before = self._looks.get(worker_id)
        if before is None or before.seen_at != sign.seen_at:
            return _Look(sign.seen_at, now, sign.locked, None if sign.locked else now)
        unlocked_at = None if sign.locked else (before.unlocked_at if before.unlocked_at is not None else now)
        return _Look(sign.seen_at, before.first_at, sign.locked, unlocked_at)


def _is_lost(look: _Look, now: float) -> bool:
    if look.unlocked_at is not None and now - look.unlocked_at >= _UNLOCKED_SECONDS:
        return True
    return now - look.first_at >= _LOCKED_SECONDS
