"""Rings the bell for training runs that nobody has taken: queued ones, and those whose lease ended."""

from typing import Protocol

from worker.dispatch.queues import TRAINING_QUEUE


class WaitingRuns(Protocol):
    """What the bell needs of :class:`~worker.database.training_leases.TrainingLeases`."""

    def waiting(self) -> int:
        """Count the runs that somebody should take."""


class TrainingBell(Protocol):
    """What it needs of :class:`~worker.dispatch.publish.Publisher`."""

    def ring_for_training(self, times: int) -> None:
        """Wake as many training workers."""

    def waiting(self, queue: str) -> int:
        """Return how many messages no worker has taken yet."""


class RingTraining:
    """The dispatcher's duty; a bell that nobody has heard yet is not rung again."""

    def __init__(self, runs: WaitingRuns, bell: TrainingBell) -> None:
        self._runs = runs
        self._bell = bell

    def __call__(self) -> int:
        """Ring for what waits; return how often. Raises BrokerDownError."""
        runs = self._runs.waiting()
        times = max(0, runs - self._bell.waiting(TRAINING_QUEUE)) if runs else 0
        if times:
            self._bell.ring_for_training(times)
        return times

    def rests(self) -> bool:
        """Tell whether no run waits."""
        return not self._runs.waiting()
