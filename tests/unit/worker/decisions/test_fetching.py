"""What a server's answer makes of a fetch, and when it is tried again."""

import pytest

from worker.decisions.fetching import BACKOFF_SECONDS, FetchReason, reason_for, wait_after


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (404, FetchReason.GONE),
        (410, FetchReason.GONE),
        (401, FetchReason.REFUSED),
        (403, FetchReason.REFUSED),
        (304, FetchReason.REFUSED),
        (204, FetchReason.REFUSED),
        (408, None),
        (425, None),
        (429, None),
        (500, None),
        (503, None),
    ],
)
def test_what_asking_again_may_change_is_asked_again(status: int, reason: FetchReason | None) -> None:
    assert reason_for(status) is reason


def test_six_attempts_wait_longer_each_time_and_then_end() -> None:
    waits = [wait_after(attempts) for attempts in range(1, 7)]
    assert waits == [*BACKOFF_SECONDS, None]
    assert list(BACKOFF_SECONDS) == sorted(BACKOFF_SECONDS)
