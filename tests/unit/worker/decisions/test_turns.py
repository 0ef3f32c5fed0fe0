"""Live images go before history, which is judged in portions of a fifth of a second and is not forgotten."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import pytest

from worker.decisions.turns import BULK_WAITS_SECONDS, choose_batch, turn

PER_IMAGE = 0.05  # so four of history fill a portion


@dataclass(frozen=True)
class Waiting:
    since: float = 0.0
    bulk: bool = False
    call: Hashable = "score"
    alone: bool = False


def live(since: float = 0.0, **options: object) -> Waiting:
    return Waiting(since, **options)  # type: ignore[arg-type]


def history(since: float = 0.0, **options: object) -> Waiting:
    return Waiting(since, bulk=True, **options)  # type: ignore[arg-type]


def members(line: Sequence[Waiting], max_batch: int = 16, seconds: float | None = PER_IMAGE) -> Sequence[int]:
    return choose_batch(line, max_batch=max_batch, seconds_of=lambda _call: seconds).members


def test_live_images_go_first_however_long_history_waited() -> None:
    line = [history(since=0), history(since=1), live(since=20, call="other")]
    assert members(line) == [2]


def test_history_fills_a_live_batch_only_within_a_fifth_of_a_second() -> None:
    assert members([history(), history(), history(), live(1), live(1)]) == [3, 4, 0, 1]
    assert members([*[live()] * 4, history()]) == [0, 1, 2, 3]
    assert members([*[live()] * 16, history()]) == list(range(16))


def test_live_images_have_no_bound_but_the_batch() -> None:
    assert members([live()] * 40) == list(range(16))


@pytest.mark.parametrize(("seconds", "most"), [(0.05, 4), (0.01, 16), (1.0, 1), (None, 1)])
def test_a_batch_of_history_is_bounded_by_time(seconds: float | None, most: int) -> None:
    assert members([history()] * 40, seconds=seconds) == list(range(most))


def test_history_whose_turn_has_come_gets_a_place_even_in_a_full_batch() -> None:
    late = BULK_WAITS_SECONDS + 1
    line = [history(since=0), *[live(since=late)] * 20]
    assert members(line) == [*range(1, 16), 0]
    assert turn(0, bulk=True) < turn(late, bulk=False)


def test_who_wants_no_company_goes_alone() -> None:
    assert members([live(alone=True), live()]) == [0]
    assert members([live(), live(alone=True), history(alone=True)]) == [0]


@pytest.mark.parametrize(
    ("line", "is_full"),
    [
        ([live()] * 15, False),
        ([live()] * 16, True),
        ([history()] * 3, False),
        ([history()] * 4, True),
        ([live(), *[history()] * 3], False),  # a live one may still come
        ([live(alone=True)], True),
    ],
)
def test_a_batch_is_full_when_nobody_else_would_be_taken(line: Sequence[Waiting], *, is_full: bool) -> None:
    assert choose_batch(line, max_batch=16, seconds_of=lambda _call: PER_IMAGE).is_full is is_full
