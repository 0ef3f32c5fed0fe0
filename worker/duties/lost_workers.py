"""Ends what lost workers held, so that others do it at once instead of waiting for their leases to end."""

from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from worker.database.workers import Sign
from worker.decisions.lost_workers import Watch
from worker.errors import TransientError
from worker.log import get_logger
from worker.metrics import LOST_WORKERS

log = get_logger()


class WorkersHere(Protocol):
    """What the duty needs of :class:`~worker.database.workers.Workers`."""

    def signs(self) -> Mapping[int, Sign]:
        """Return what shows of each worker that it lives, by its id."""

    def end(self, worker_ids: Collection[int]) -> int:
        """Forget workers that are lost; return how many leases end."""


class EndLostWorkers:
    """Ends the leases of workers that are lost; a duty of the dispatcher."""

    def __init__(self, workers: WorkersHere, monotonic: Callable[[], float]) -> None:
        """Keep the table, and a clock in seconds."""
        self._workers = workers
        self._watch = Watch(monotonic)

    def __call__(self) -> None:
        """Look once; raises TransientError while the database is away."""
        lost = self._look()
        if lost:
            ended = self._workers.end(lost)
            LOST_WORKERS.inc(len(lost))
            log.warning("workers_lost", workers=lost, leases_ended=ended)

    def rests(self) -> bool:
        """Look once, and tell whether all workers live; raises as a call."""
        return not self._look()

    def _look(self) -> list[int]:
        try:
            return self._watch.look(self._workers.signs())
        except TransientError:
            self._watch.start_anew()
            raise
