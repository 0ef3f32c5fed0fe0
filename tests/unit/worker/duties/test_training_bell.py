"""The training bell is rung once for each run that waits, and not again before it was heard."""

import pytest

from worker.dispatch.queues import TRAINING_QUEUE
from worker.duties.training_bell import RingTraining


class Bell:
    """Counts what was rung and not heard."""

    def __init__(self) -> None:
        self.unheard = 0

    def ring_for_training(self, times: int) -> None:
        self.unheard += times

    def waiting(self, queue: str) -> int:
        assert queue == TRAINING_QUEUE
        return self.unheard


class Runs:
    def __init__(self, count: int) -> None:
        self.count = count

    def waiting(self) -> int:
        return self.count


@pytest.mark.parametrize("count", [0, 1, 3])
def test_as_many_bells_as_runs_wait(count: int) -> None:
    bell = Bell()
    ring = RingTraining(Runs(count), bell)
    assert [ring(), ring(), bell.unheard] == [count, 0, count]


def test_a_bell_that_was_heard_in_vain_is_rung_again() -> None:
    bell = Bell()
    ring = RingTraining(Runs(1), bell)
    ring()
    bell.unheard = 0  # the worker that heard it died before it took the run
    assert ring() == 1
