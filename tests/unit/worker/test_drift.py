"""Drift is small for the same images and large for others, and never infinite."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.drift import LEAST_IMAGES, Seen, measures, psi, tenths

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


def test_tenths_part_a_histogram_evenly() -> None:
    assert tenths(dict.fromkeys(range(100), 1)) == [9, 19, 29, 39, 49, 59, 69, 79, 89]
    assert tenths({5: 1000}) == []


def test_a_day_is_told_beside_the_weeks_before() -> None:
    before = Seen(dict.fromkeys(range(10), 20), {"uncertain": 150, "ai_generated": 50}, 20)
    today = Seen(dict.fromkeys(range(50, 60), 20), {"uncertain": 50, "ai_generated": 150}, 100)
    told = measures(today, before)
    assert (told["uncertain"], told["uncertain_before"]) == (0.25, 0.75)
    assert (told["flagged"], told["disagreement"], told["disagreement_before"]) == (0.75, 0.5, 0.1)
    assert told["psi"] > 0.25


def test_few_images_have_no_index() -> None:
    few = Seen({1: LEAST_IMAGES - 1}, {"uncertain": LEAST_IMAGES - 1}, 0)
    many = Seen({1: 1000}, {"uncertain": 1000}, 0)
    assert measures(few, many)["psi"] is None
    assert measures(Seen({}, {}, 0), many)["uncertain"] is None
