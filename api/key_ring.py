"""Keys that were found good, kept for a moment, so that most requests cost no query for theirs."""

import time
from collections.abc import Callable
from typing import Protocol

from worker.database.api_keys import Principal, fingerprint

# A revoked key works at most this long after; the README promises that it is refused within 5 s.
REMEMBER_SECONDS = 3.0
_MOST_REMEMBERED = 10_000


class Verifies(Protocol):
    """What authentication needs of :class:`~worker.database.api_keys.ApiKeys`."""

    def verify(self, key: str) -> Principal | None:
        """Return whose key this is, or None."""


class KeyRing:
    """Remembers keys that were found good, so that most requests cost no query for theirs."""

    def __init__(
        self, keys: Verifies, *, seconds: float = REMEMBER_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._keys = keys
        self._seconds = seconds
        self._clock = clock
        # Only good keys are in here, so strangers cannot make it grow; and no more than are in use.
        self._remembered: dict[str, tuple[Principal, float]] = {}
        self._addresses: set[tuple[int, str]] = set()

    def recall(self, key: str) -> Principal | None:
        """Return whose key this was found to be a moment ago, without asking Postgres."""
        principal, until = self._remembered.get(fingerprint(key), (None, 0.0))
        return principal if self._clock() < until else None

    def was_good(self, key: str) -> bool:
        """Tell whether this key was good when it was last looked up."""
        return fingerprint(key) in self._remembered

    def is_new_address(self, key_id: int, address: str) -> bool:
        """Tell whether a key comes from this address for the first time since this process started."""
        if (key_id, address) in self._addresses:
            return False
        if len(self._addresses) >= _MOST_REMEMBERED:
            self._addresses.clear()
        self._addresses.add((key_id, address))
        return True

    def look_up(self, key: str) -> Principal | None:
        """Ask Postgres whose key this is and remember a good one."""
        until = self._clock() + self._seconds
        principal = self._keys.verify(key)
        if principal:
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            self._remembered[fingerprint(key)] = (principal, until)
        else:
            self._remembered.pop(fingerprint(key), None)
        return principal
