"""Idle processes, and the line of threads that wait for one: live images first."""

import heapq
import threading
import time
from collections.abc import Callable, Iterable
from itertools import count
from typing import Generic, TypeVar

from worker.decisions.turns import turn

Process = TypeVar("Process")


class Idle(Generic[Process]):
    """Gives each process to one thread at a time, in the order of :func:`worker.decisions.turns.turn`."""

    def __init__(self, processes: Iterable[Process], monotonic: Callable[[], float] = time.monotonic) -> None:
        """Keep the processes, all of them idle, and a clock in seconds."""
        self._idle = list(processes)
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._line: list[tuple[float, int]] = []
        self._numbers = count()

    def take(self, *, bulk: bool = False) -> Process:
        """Wait for a process; the last one given back is the warmest."""
        with self._changed:
            place = (turn(self._monotonic(), bulk=bulk), next(self._numbers))
            heapq.heappush(self._line, place)
            self._changed.wait_for(lambda: self._idle and self._line[0] == place)
            heapq.heappop(self._line)
            self._changed.notify_all()
            return self._idle.pop()

    def give(self, process: Process) -> None:
        """Take a process back that has ended its work, for the next caller."""
        with self._changed:
            self._idle.append(process)
            self._changed.notify_all()

    def waiting(self) -> int:
        """Return how many threads wait."""
        with self._changed:
            return len(self._line)
