"""Mutated files of every format: none crashes a decoder process, none hangs it, each ends with a reason."""

import time

import pytest

from infra.chaos.fuzz import files, fuzz, seeds
from worker.processes.decoders import decoder_pool
from worker.settings import Settings

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]


def assert_all_end_well(count: int, seed: int) -> None:
    decoders = decoder_pool(Settings())
    try:
        report = fuzz(decoders, count, seed)
    finally:
        decoders.close()
    assert {name: report[name] for name in ("crashes", "hangs", "without_reason")} == {
        "crashes": 0,
        "hangs": 0,
        "without_reason": 0,
    }, report["first"]


def test_two_hundred_mutated_files_decode_or_are_rejected_with_a_reason() -> None:
    assert_all_end_well(200, seed=1)


@pytest.mark.slow
def test_four_thousand_mutated_files_decode_or_are_rejected_with_a_reason() -> None:
    assert_all_end_well(4000, seed=2)


def test_a_seed_gives_the_same_files_and_every_format() -> None:
    first = list(files(60, 3))
    time.sleep(1.1)  # Some encoders write the time, in whole seconds.
    assert list(files(60, 3)) == first
    assert {name for name, _ in files(60, 3)} == seeds().keys()
    assert list(files(60, 3)) != list(files(60, 4))
