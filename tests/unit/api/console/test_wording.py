from datetime import UTC, datetime, timedelta, timezone

import pytest

from api.console import wording
from worker.decisions.policy import Rules

NBSP, NONE = "\N{NO-BREAK SPACE}", "\N{EN DASH}"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59, "59 s"), (61, "1 min"), (7200, "2 h"), (200_000, "2 d"), (None, NONE)],
)
def test_lengths_of_time_are_told_roughly(seconds: float | None, words: str) -> None:
    assert wording.duration(seconds) == words.replace(" ", NBSP)


@pytest.mark.parametrize(("count", "words"), [(12, "12 B"), (2048, "2.0 KB"), (3 << 20, "3.0 MB"), (None, NONE)])
def test_sizes_are_told_in_the_unit_that_fits(count: int | None, words: str) -> None:
    assert wording.size(count) == words.replace(" ", NBSP)


def test_verdicts_are_told_as_people_say_them() -> None:
    assert wording.headline("not_ai_generated") == "Not AI-generated"
    assert wording.headline("ai_generated") == "AI-generated"
    assert wording.words("attempts_exhausted") == "attempts exhausted"


def test_times_are_told_in_utc() -> None:
    there = timezone(timedelta(hours=2))
    assert wording.moment(datetime(2026, 11, 21, 1, 30, tzinfo=there)) == "2026-11-20 23:30:00"
    assert wording.moment(datetime(2026, 11, 21, tzinfo=UTC)) == "2026-11-21 00:00:00"


def test_shares_go_into_forms_without_noise() -> None:
    assert [wording.in_percent(share) for share in (0.07, 0.005, None)] == ["7", "0.5", ""]


def test_a_page_says_only_what_is_ours_to_say() -> None:
    assert wording.notice_text("Call us at once") is None
    assert wording.notice_text(None) is None
    assert wording.notice_text("erased") == "The image was erased."


RULES = Rules(false_positive_budget=0.01, miss_budget=0.05, prior_shift=0.0)


@pytest.mark.parametrize(
    ("probability", "words"),
    [
        (0.98, "Above 90.0 %, the line above which at most 1 photograph in 100 would be accused."),
        (0.1, "Below 20.0 %, the line below which at most 1 AI-generated image in 20 would be cleared."),
        (0.5, "Between 20.0 % and 90.0 %: the policy neither accuses nor clears."),
    ],
)
def test_a_threshold_is_told_by_what_the_policy_allows(probability: float, words: str) -> None:
    assert wording.standing(probability, 0.2, 0.9, RULES).replace(NBSP, " ") == words


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.0, "no photograph"),
        (0.005, "1 photograph in 200"),
        (0.1, "1 photograph in 10"),
        (0.98, "98 photographs in 100"),
    ],
)
def test_shares_are_told_as_people_count(share: float, words: str) -> None:
    assert wording.out_of(share, "photograph") == words
