"""Drift is small for the same images and large for others, and never infinite."""

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.decisions.drift import (
    LEAST_IMAGES,
    Moments,
    VerdictCounts,
    feature_shift,
    measures,
    moments_of,
    psi,
    tenths,
)

histograms = st.dictionaries(st.integers(0, 99), st.integers(1, 500), min_size=1, max_size=60)


@given(histograms)
def test_a_histogram_does_not_drift_from_itself(counts: dict[int, int]) -> None:
    assert psi(counts, counts) == pytest.approx(0.0, abs=1e-9)


@given(histograms, histograms)
def test_the_index_is_finite_and_never_negative(before: dict[int, int], today: dict[int, int]) -> None:
    assert 0.0 <= psi(before, today) < 50


def test_a_shift_to_high_probabilities_shows() -> None:
    even = dict.fromkeys(range(100), 10)
    high = {**dict.fromkeys(range(80), 4), **dict.fromkeys(range(80, 100), 34)}
    assert psi(even, high) > 0.25
    slightly = {**even, 99: 14}
    assert psi(even, slightly) < 0.01


def test_leaving_a_constant_shows_and_staying_there_does_not() -> None:
    assert psi({5: 1000}, {5: 300}) == pytest.approx(0.0, abs=0.02)
    for elsewhere in (0, 4, 6, 99):
        assert psi({5: 1000}, {5: 500, elsewhere: 500}) > 0.25


def test_tenths_part_a_histogram_evenly() -> None:
    assert tenths(dict.fromkeys(range(100), 1)) == [9, 19, 29, 39, 49, 59, 69, 79, 89]
    assert tenths({5: 1000}) == []


def test_a_day_is_told_beside_the_weeks_before() -> None:
    before = VerdictCounts(dict.fromkeys(range(10), 20), {"uncertain": 150, "ai_generated": 50}, 20)
    today = VerdictCounts(dict.fromkeys(range(50, 60), 20), {"uncertain": 50, "ai_generated": 150}, 100)
    day = measures(today, before)
    assert (day["uncertain"], day["uncertain_before"]) == (0.25, 0.75)
    assert (day["flagged"], day["disagreement"], day["disagreement_before"]) == (0.75, 0.5, 0.1)
    assert day["psi"] > 0.25


def test_few_images_have_no_index() -> None:
    few = VerdictCounts({1: LEAST_IMAGES - 1}, {"uncertain": LEAST_IMAGES - 1}, 0)
    many = VerdictCounts({1: 1000}, {"uncertain": 1000}, 0)
    assert measures(few, many)["psi"] is None
    assert measures(VerdictCounts({}, {}, 0), many)["uncertain"] is None


@pytest.mark.parametrize(("before", "is_told"), [(100, False), (899, False), (901, True), (5000, True)])
def test_an_index_that_chance_alone_makes_large_is_not_told(before: int, is_told: bool) -> None:  # noqa: FBT001
    """A hundred images of a kind against a hundred more of it: 0.18 on average, above 0.25 in one case of seven."""
    today = VerdictCounts({1: 100}, {"uncertain": 100}, 0)
    assert (measures(today, VerdictCounts({1: before}, {"uncertain": before}, 0))["psi"] is not None) is is_told


def packed(rows: list[list[float]]) -> list[bytes]:
    return [struct.pack(f"<{len(row)}e", *row) for row in rows]


def test_features_that_move_by_a_deviation_show_it() -> None:
    rng = random.Random(4)  # noqa: S311 - pictures, not secrets
    old = packed([[rng.gauss(0, 2), rng.gauss(5, 0.5)] for _ in range(400)])
    same = packed([[rng.gauss(0, 2), rng.gauss(5, 0.5)] for _ in range(400)])
    moved = packed([[rng.gauss(2, 2), rng.gauss(5.5, 0.5)] for _ in range(400)])
    still, shift = (feature_shift(moments_of(old), moments_of(new)) for new in (same, moved))
    assert still is not None
    assert shift is not None
    assert still < 0.2
    assert shift == pytest.approx(1.0, abs=0.2)


def test_few_features_or_those_of_another_detector_are_not_compared() -> None:
    many = moments_of(packed([[1.0, 2.0]] * LEAST_IMAGES))
    assert feature_shift(moments_of(packed([[1.0, 2.0]] * (LEAST_IMAGES - 1))), many) is None
    assert feature_shift(many, moments_of(packed([[1.0]] * LEAST_IMAGES))) is None
    assert feature_shift(many, None) is None
    assert feature_shift(many, many) == 0.0


def test_features_are_summed_up() -> None:
    assert moments_of(packed([[1.0, 2.0], [3.0, 2.0]])) == Moments(2, [2.0, 2.0], [1.0, 0.0])
    assert moments_of([]) is None
    assert moments_of(packed([[1.0], [1.0, 2.0]])) is None
