"""Progress is told not too often, with the time that is left, and never ends a run by itself."""

from typing import Any

import pytest

from training.retraining.progress import Progress
from worker.database.session import DatabaseDownError


class Listener:
    """Keeps what was told; a clock to go with it."""

    def __init__(self) -> None:
        self.now, self.lines = 100.0, list[tuple[str, dict[str, Any], bool]]()

    def tell(self, kind: str, progress: dict[str, Any], *, event: bool) -> None:
        self.lines.append((kind, progress, event))

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def listener() -> Listener:
    return Listener()


def news(detector: str, progress: float) -> dict[str, Any]:
    return {"detector": detector, "progress": progress, "step": 1, "epoch": 0.5, "loss": 0.7}


def test_the_time_left_is_what_the_rest_will_take_at_this_pace(listener: Listener) -> None:
    progress = Progress(listener.tell, listener.monotonic, ("clip", "convnext"))
    progress.fitting(news("clip", 0.0))
    listener.now += 30
    progress.fitting(news("clip", 0.5))
    kind, line, _ = listener.lines[-1]
    assert (kind, line["eta_seconds"]) == ("progress", 90)
    assert (line["detector"], line["epoch"], line["loss"]) == ("clip", 0.5, 0.7)
    assert line["done"] == pytest.approx(0.05 + 0.85 / 4)
    listener.now += 30
    progress.fitting(news("convnext", 0.0))
    assert listener.lines[-1][1]["eta_seconds"] == 60


def test_a_resumed_fit_counts_from_where_it_went_on(listener: Listener) -> None:
    progress = Progress(listener.tell, listener.monotonic, ("clip",))
    progress.fitting(news("clip", 0.8))
    listener.now += 10
    progress.fitting(news("clip", 0.9))
    assert listener.lines[-1][1]["eta_seconds"] == 10


def test_lines_come_every_two_seconds_and_events_of_a_long_run_more_rarely(listener: Listener) -> None:
    progress = Progress(listener.tell, listener.monotonic, ("clip",))
    for step in range(3001):
        progress.fitting(news("clip", step / 30_000))
        listener.now += 1
    lines, events = len(listener.lines), sum(event for *_, event in listener.lines)
    assert 1400 < lines < 1600
    assert 25 < events < 60


def test_a_database_that_is_away_ends_no_run(listener: Listener) -> None:
    def tell(*_: object, **__: object) -> None:
        raise DatabaseDownError

    Progress(tell, listener.monotonic).stage("data")
