"""What operators are told of what the driver said."""

import pytest

from worker.database.session import cause_of


@pytest.mark.parametrize(
    ("driver", "words"),
    [
        ('connection failed: FATAL:  password authentication failed for user "assay_worker"', "`assay setup` makes"),
        ("connection failed: FATAL:  sorry, too many clients already", "no connection left"),
        ("FATAL:  remaining connection slots are reserved for SUPERUSER", "no connection left"),
        ("connection failed: SSL error: certificate verify failed", "check sslrootcert"),
        ("deadlock detected\nDETAIL:  Process 71 waits for ShareRowExclusiveLock", "others waited for"),
        ("QueuePool limit of size 8 overflow 4 reached, connection timed out, timeout 10.00", "This process has no"),
        ("connection failed: FATAL:  the database system is starting up", "is starting"),
    ],
)
def test_a_known_cause_is_named_without_addresses(driver: str, words: str) -> None:
    assert words in (cause_of(driver) or "")
    assert "assay_worker" not in (cause_of(driver) or "")


def test_an_unknown_cause_is_not_guessed() -> None:
    assert cause_of("connection failed: Connection refused") is None
