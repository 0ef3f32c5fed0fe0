import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from worker.decisions.bounds import certified_errors, clopper_pearson_upper
from worker.decisions.calibration import (
    EDGE,
    Calibration,
    CalibrationFigures,
    Fusion,
    derive_thresholds,
    logit_of,
    shift,
    sigmoid,
)

# For what walks through the whole binomial distribution of each example.
few = settings(max_examples=30)

logits = st.floats(-60, 60)
probabilities = st.floats(0, 1)
slopes = st.floats(0.01, 20)
calibrations = st.one_of(
    st.builds(lambda t: Calibration("temperature", (t,)), slopes),
    st.builds(lambda a, b: Calibration("platt", (a, b)), slopes, st.floats(-10, 10)),
    st.builds(lambda a, b, c: Calibration("beta", (a, b, c)), slopes, slopes, st.floats(-10, 10)),
)
figures = st.builds(
    CalibrationFigures.of, st.lists(probabilities, max_size=400), st.lists(probabilities, max_size=60), st.just("any")
)
budgets = st.floats(0, 1)


@given(st.floats(-1e6, 1e6))
def test_probabilities_never_reach_0_or_1(logit: float) -> None:
    assert EDGE <= sigmoid(logit) <= 1 - EDGE


@given(st.floats(-15, 15))
def test_logit_of_undoes_sigmoid(logit: float) -> None:
    assert logit_of(sigmoid(logit)) == pytest.approx(logit, abs=1e-6)


@given(calibrations, logits, logits)
def test_calibration_keeps_the_order_of_images(calibration: Calibration, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert calibration.probability(low) <= calibration.probability(high)
    assert math.isfinite(calibration.calibrated_logit(one))


@given(logits)
def test_beta_with_unit_slopes_is_the_identity(logit: float) -> None:
    assert Calibration("beta", (1.0, 1.0, 0.0)).calibrated_logit(logit) == pytest.approx(logit, abs=1e-9)


def test_calibrations_compute_what_they_are_named_for() -> None:
    assert Calibration("temperature", (2.0,)).calibrated_logit(4.0) == 2.0
    assert Calibration("platt", (2.0, 1.0)).calibrated_logit(4.0) == 9.0
    p = 1 / (1 + math.exp(-0.7))
    expected = 0.5 * math.log(p) - 2.0 * math.log(1 - p) + 0.3
    assert Calibration("beta", (0.5, 2.0, 0.3)).calibrated_logit(0.7) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("isotonic", (1.0,)),
        ("platt", (1.0,)),
        ("platt", (-1.0, 0.0)),
        ("beta", (0.0, 0.0, 1.0)),
        ("temperature", (math.nan,)),
    ],
)
def test_maps_that_are_unknown_or_not_monotone_are_refused(method: str, parameters: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=method):
        Calibration(method, parameters)


@given(probabilities, st.floats(-5, 5), st.floats(-5, 5))
def test_a_larger_prior_shift_never_lowers_a_probability(probability: float, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert 0 < shift(probability, low) <= shift(probability, high) < 1


def test_no_shift_changes_nothing_and_a_shift_adds_to_the_logit() -> None:
    assert shift(0.3, 0.0) == pytest.approx(0.3)
    assert logit_of(shift(0.3, 1.5)) == pytest.approx(logit_of(0.3) + 1.5)


def test_fusion_weighs_logits_and_limits_covariates() -> None:
    fusion = Fusion({"clip": 2.0, "convnext": 3.0}, ((0.5, 10.0, 2.0),), 1.0)
    assert fusion.fuse({"clip": 1.0, "convnext": -1.0}, [12.0]) == 2.0 * 1 + 3.0 * -1 + 1.0 + 0.5 * 1.0
    assert fusion.fuse({"clip": 0.0, "convnext": 0.0}, [16.0]) == fusion.fuse({"clip": 0.0, "convnext": 0.0}, [1e9])


def test_fusion_refuses_another_number_of_covariates() -> None:
    with pytest.raises(ValueError, match="zip"):
        Fusion({"clip": 1.0}, ((0.5, 0.0, 1.0),), 0.0).fuse({"clip": 1.0}, [1.0, 2.0])


@given(figures)
def test_figures_survive_json(measured: CalibrationFigures) -> None:
    assert measured == CalibrationFigures.from_json(json.loads(json.dumps(measured.to_json())))
    assert sorted(measured.negatives) == list(measured.negatives)


@given(calibrations)
def test_calibrations_survive_json(calibration: Calibration) -> None:
    assert calibration == Calibration.from_json(json.loads(json.dumps(calibration.to_json())))


@few
@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.001, 0.5))
def test_the_bound_is_clopper_and_pearsons(errors_of: tuple[int, int], alpha: float) -> None:
    errors, n = errors_of
    expected = 1.0 if errors == n else float(beta.ppf(1 - alpha, errors + 1, n - errors))
    assert clopper_pearson_upper(errors, n, alpha) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("errors", "n"), [(-1, 5), (6, 5), (0, 0)])
def test_a_rate_of_nothing_has_no_bound(errors: int, n: int) -> None:
    with pytest.raises(ValueError, match="rate"):
        clopper_pearson_upper(errors, n)


@few
@given(st.integers(1, 2000), st.floats(0.001, 0.999))
def test_certified_errors_are_the_most_that_the_bound_allows(n: int, budget: float) -> None:
    allowed = certified_errors(n, budget)
    most = -1 if allowed is None else allowed
    assert most < 0 or clopper_pearson_upper(most, n) <= budget + 1e-9
    assert most == n or clopper_pearson_upper(most + 1, n) > budget - 1e-9


def test_one_in_a_hundred_needs_299_photographs() -> None:
    assert certified_errors(298, 0.01) is None
    assert certified_errors(299, 0.01) == 0


@given(figures, budgets, budgets, st.floats(-4, 4))
def test_lower_never_exceeds_upper(measured: CalibrationFigures, wrong: float, missed: float, by: float) -> None:
    thresholds = derive_thresholds(measured, false_positive_budget=wrong, miss_budget=missed, prior_shift=by)
    assert 0.0 <= thresholds.lower <= thresholds.upper <= 1.0


@given(figures, budgets, budgets, st.floats(-4, 4))
def test_budgets_are_kept_on_the_figures(measured: CalibrationFigures, wrong: float, missed: float, by: float) -> None:
    thresholds = derive_thresholds(measured, false_positive_budget=wrong, miss_budget=missed, prior_shift=by)
    accused = sum(shift(p, by) > thresholds.upper for p in measured.negatives)
    certified = certified_errors(len(measured.negatives), wrong)
    assert accused <= (certified or 0)
    cleared = sum(shift(p, by) < thresholds.lower for p in measured.positives)
    assert cleared <= missed * len(measured.positives) + 1e-6


@few
@given(figures, budgets, budgets)
def test_a_larger_budget_never_raises_the_upper_threshold(
    measured: CalibrationFigures, one: float, other: float
) -> None:
    tight, loose = sorted((one, other))
    upper = [derive_thresholds(measured, false_positive_budget=b, miss_budget=0.05).upper for b in (tight, loose)]
    assert upper[0] >= upper[1]


def test_thresholds_of_a_thousand_photographs() -> None:
    negatives = np.linspace(0.0, 0.5, 1000).tolist()
    measured = CalibrationFigures.of(negatives, np.linspace(0.2, 1.0, 101).tolist(), "even")
    thresholds = derive_thresholds(measured, false_positive_budget=0.01, miss_budget=0.05)
    allowed = certified_errors(1000, 0.01)
    assert allowed == 4
    assert thresholds.upper == pytest.approx(negatives[-5], abs=1e-5)
    assert thresholds.lower == pytest.approx(0.24, abs=1e-5)


@given(figures, budgets, budgets, st.floats(-4, 4))
def test_nothing_is_cleared_that_is_likelier_ai_than_not(
    measured: CalibrationFigures, wrong: float, missed: float, by: float
) -> None:
    thresholds = derive_thresholds(measured, false_positive_budget=wrong, miss_budget=missed, prior_shift=by)
    assert thresholds.lower <= 0.5


def test_a_detector_that_would_miss_few_still_clears_only_the_likelier_half() -> None:
    measured = CalibrationFigures.of([0.01] * 1000, [0.9] * 100, "sharp")
    thresholds = derive_thresholds(measured, false_positive_budget=0.01, miss_budget=0.05)
    assert thresholds.lower == pytest.approx(0.0100001, abs=1e-6)  # never above the upper one
    measured = CalibrationFigures.of([*[0.01] * 990, *[0.95] * 10], [0.97] * 100, "sharp")
    assert derive_thresholds(measured, false_positive_budget=0.001, miss_budget=0.05).lower == 0.5


def test_a_budget_beyond_certifying_accuses_no_held_out_photograph() -> None:
    measured = CalibrationFigures.of([0.1, 0.97], [0.99], "two")
    thresholds = derive_thresholds(measured, false_positive_budget=0.001, miss_budget=0.0)
    assert 0.97 < thresholds.upper < 0.99
    nothing = derive_thresholds(CalibrationFigures.of([], [0.9], "none"), false_positive_budget=0.5, miss_budget=0.0)
    assert nothing.upper == 1.0


def test_the_upper_threshold_keeps_the_budget_for_every_source_by_itself() -> None:
    calm, wild = [0.2] * 900, [0.2] * 95 + [0.8, 0.81, 0.82, 0.83, 0.9]
    together = CalibrationFigures.of([*calm, *wild], [0.95] * 100, "tests")
    apart = CalibrationFigures.of([*calm, *wild], [0.95] * 100, "tests", ["calm"] * 900 + ["wild"] * 100)
    budgets = {"false_positive_budget": 0.01, "miss_budget": 0.05}
    assert derive_thresholds(together, **budgets).upper < 0.82
    upper = derive_thresholds(apart, **budgets).upper
    assert 0.83 < upper < 0.9
    assert sum(probability > upper for probability in wild) == 1


def test_figures_by_source_survive_being_written_and_older_ones_have_none() -> None:
    figures = CalibrationFigures.of([0.3, 0.1], [0.9], "tests", ["b", "a"])
    assert CalibrationFigures.from_json(figures.to_json()) == figures
    assert figures.by_source == {"a": (0.1,), "b": (0.3,)}
    older = {"negatives": [0.1, 0.3], "positives": [0.9], "scope": "tests"}
    assert CalibrationFigures.from_json(older).by_source == {}


def test_thresholds_of_the_same_terms_are_worked_out_once() -> None:
    mine = CalibrationFigures.of([0.1] * 400, [0.9] * 60, "tests")
    terms = {"false_positive_budget": 0.01, "miss_budget": 0.05}
    assert derive_thresholds(mine, **terms) is derive_thresholds(mine, **terms, prior_shift=0.0)
    assert derive_thresholds(mine, **terms, prior_shift=1.0) != derive_thresholds(mine, **terms)
