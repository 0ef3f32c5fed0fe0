from datetime import UTC, datetime, timedelta, timezone

import pytest

from api.console import wording

NBSP, NONE = "\N{NO-BREAK SPACE}", "\N{EN DASH}"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.4, "0 s"), (59, "59 s"), (61, "1 min"), (7200, "2 h"), (200_000, "2 d"), (None, NONE)],
)
def test_lengths_of_time_are_told_roughly(seconds: float | None, told: str) -> None:
    assert wording.duration(seconds) == told.replace(" ", NBSP)


@pytest.mark.parametrize(("count", "told"), [(12, "12 B"), (2048, "2.0 KB"), (3 << 20, "3.0 MB"), (None, NONE)])
def test_sizes_are_told_in_the_unit_that_fits(count: int | None, told: str) -> None:
    assert wording.size(count) == told.replace(" ", NBSP)


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
    assert wording.said_in_full("Call us at once") is None
    assert wording.said_in_full(None) is None
    assert wording.said_in_full("erased") == "The image was erased."
