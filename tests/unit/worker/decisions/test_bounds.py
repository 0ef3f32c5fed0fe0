"""What errors in so many sources prove of an error rate."""

from __future__ import annotations

import random

import pytest

from worker.decisions.bounds import LEAST_SOURCES, clopper_pearson_upper, errors_over_sources, rate_over_sources_at_most
from worker.decisions.calibration import EACH_SOURCE, OVER_SOURCES, CalibrationFigures, derive_thresholds

_BUDGETS = {"false_positive_budget": 0.01, "miss_budget": 0.05}


def test_errors_of_one_source_prove_less_than_as_many_of_many() -> None:
    sizes = [100] * 50
    gathered = rate_over_sources_at_most([20] + [0] * 49, sizes)
    scattered = rate_over_sources_at_most([1] * 20 + [0] * 30, sizes)
    assert scattered < gathered
    assert scattered == pytest.approx(clopper_pearson_upper(20, 5000), rel=0.15)


def test_no_error_at_all_has_no_spread_and_the_exact_bound_must_speak() -> None:
    assert rate_over_sources_at_most([0] * 30, [10] * 30) == 0.0


def test_the_bound_covers_the_rate_of_sources_that_differ() -> None:
    rng = random.Random(5)  # noqa: S311 (a simulation)
    covered, rounds = 0, 400
    for _ in range(rounds):
        sizes = [rng.choice((20, 60, 200)) for _ in range(60)]
        rates = [rng.betavariate(0.5, 24.5) for _ in sizes]  # 2 % on average, most sources near none
        errors = [sum(rng.random() < rate for _ in range(n)) for rate, n in zip(rates, sizes, strict=True)]
        covered += rate_over_sources_at_most(errors, sizes) >= 0.02
    assert covered / rounds > 0.88  # rare and skewed errors take some of the 95 %


def test_as_many_are_accused_as_keep_the_bound_within_the_budget() -> None:
    rng = random.Random(6)  # noqa: S311 (a simulation)
    by_source = {f"source {k}": [rng.betavariate(1, 4) for _ in range(100)] for k in range(40)}
    allowed = errors_over_sources(by_source, 0.01)
    cut = sorted((p for of_source in by_source.values() for p in of_source), reverse=True)[allowed]
    errors = [sum(p > cut for p in of_source) for of_source in by_source.values()]
    assert sum(errors) == allowed
    assert rate_over_sources_at_most(errors, [100] * 40) <= 0.01
    assert 0 < allowed < 40


def test_thresholds_over_sources_accuse_more_than_the_worst_source_allows_and_stay_within_the_bound() -> None:
    rng = random.Random(7)  # noqa: S311 (a simulation)
    negatives, sources = [], []
    for k in range(60):
        negatives += [rng.betavariate(1, 6 if k else 3) for _ in range(100)]  # the first is judged worse
        sources += [f"source {k}"] * 100
    over, each = (
        CalibrationFigures.of(negatives, [0.9] * 100, "tests", sources, bound) for bound in (OVER_SOURCES, EACH_SOURCE)
    )
    upper = derive_thresholds(over, **_BUDGETS).upper
    assert upper < derive_thresholds(each, **_BUDGETS).upper
    errors = [sum(p > upper for p in of_source) for of_source in over.by_source.values()]
    assert rate_over_sources_at_most(errors, [100] * 60) <= 0.01
    assert clopper_pearson_upper(sum(errors), 6000) <= 0.01


def test_too_few_sources_are_each_kept_within_the_budget() -> None:
    negatives = [0.2] * 95 + [0.8, 0.81, 0.82, 0.83, 0.9] + [0.2] * 900
    sources = ["wild"] * 100 + ["calm"] * 900
    assert len(set(sources)) < LEAST_SOURCES
    over, each = (
        CalibrationFigures.of(negatives, [0.95] * 100, "tests", sources, bound) for bound in (OVER_SOURCES, EACH_SOURCE)
    )
    assert derive_thresholds(over, **_BUDGETS) == derive_thresholds(each, **_BUDGETS)


def test_figures_keep_their_bound_and_older_ones_keep_theirs() -> None:
    figures = CalibrationFigures.of([0.3, 0.1], [0.9], "tests", ["b", "a"], OVER_SOURCES)
    assert CalibrationFigures.from_json(figures.to_json()) == figures
    older = CalibrationFigures.of([0.3, 0.1], [0.9], "tests", ["b", "a"])
    assert "bound" not in older.to_json()
    assert CalibrationFigures.from_json(older.to_json()).bound == EACH_SOURCE
    with pytest.raises(ValueError, match="unknown bound 'none'"):
        CalibrationFigures.of([0.3], [0.9], "tests", ["b"], "none")
