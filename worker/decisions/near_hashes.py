"""Which images are the same or look the same. Pure, but for the waiting.

The same bytes get the same scores: who comes second waits for who came first and takes over what was found
(:class:`OneLook`). Pictures that look alike have perceptual hashes that differ in a few of 256 bits; :func:`bands_of`
and :func:`probes_of` make those findable by an index.
"""

import threading
from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

HASH_BITS = 256
# Bits that may differ in what PDQ's makers call a match (github.com/facebook/ThreatExchange, hashing/hashing.pdf).
MOST_DISTANCE = 31
_BANDS = 16
_BAND_BITS = HASH_BITS // _BANDS


def bands_of(bits: str) -> list[int]:
    """Cut a hash into sixteen bands of 16 bits; the place of each stands above its bits, so that no two are alike.

    Args:
        bits: 256 characters, each 0 or 1.
    """
    cut = (bits[place : place + _BAND_BITS] for place in range(0, HASH_BITS, _BAND_BITS))
    return [place << _BAND_BITS | int(band, 2) for place, band in enumerate(cut)]


def probes_of(bits: str) -> list[int]:
    """Return the bands that every hash within :data:`MOST_DISTANCE` has at least one of.

    Thirty-one differing bits over sixteen bands leave some band with at most one of them (Norouzi et al. 2012,
    doi:10.1109/CVPR.2012.6248043), so all bands with at most one bit changed are enough: 272 numbers.
    """
    bands = bands_of(bits)
    return [band ^ flip for band in bands for flip in (0, *(1 << bit for bit in range(_BAND_BITS)))]


class OneLook:
    """Lets one thread at a time look at the same content; the others wait for it, and only they."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[Hashable, threading.Lock] = {}
        self._users: Counter[Hashable] = Counter()

    @contextmanager
    def at(self, content: Hashable) -> Iterator[None]:
        """Hold a content against other threads of this process."""
        with self._guard:
            lock = self._locks.setdefault(content, threading.Lock())
            self._users[content] += 1
        try:
            with lock:
                yield
        finally:
            with self._guard:
                self._users[content] -= 1
                if not self._users[content]:
                    del self._users[content], self._locks[content]
