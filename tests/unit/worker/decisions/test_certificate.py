import json

import pytest
from scipy.stats import beta

from worker.decisions.calibration import CalibrationFigures, Thresholds, derive_thresholds, shift
from worker.decisions.certificate import certify

_BUDGET = 0.01


def figures(negatives: int) -> CalibrationFigures:
    return CalibrationFigures.of([n / negatives * 0.9 for n in range(negatives)], [0.95] * 50, "photographs of tests")


def test_it_counts_the_accused_and_bounds_their_rate() -> None:
    proven = certify(figures(1000), Thresholds(0.1, 0.8955), _BUDGET)
    assert (proven.negatives, proven.accused) == (1000, 4)
    assert proven.rate_at_most == pytest.approx(beta.ppf(0.95, 5, 996))
    assert proven.holds
    assert proven.scope == "photographs of tests"


@pytest.mark.parametrize("prior_shift", [-2.0, 0.0, 1.5])
@pytest.mark.parametrize("count", [299, 1905])
def test_a_policy_s_own_threshold_holds_whatever_its_prior_shift(count: int, prior_shift: float) -> None:
    cuts = derive_thresholds(figures(count), false_positive_budget=_BUDGET, miss_budget=0.05, prior_shift=prior_shift)
    proven = certify(figures(count), cuts, _BUDGET, prior_shift)
    assert proven.holds
    looser = certify(figures(count), Thresholds(0.0, shift(0.1, prior_shift)), _BUDGET, prior_shift)
    assert not looser.holds


def test_too_few_photographs_prove_little_and_none_prove_nothing() -> None:
    few = certify(figures(100), Thresholds(0.1, 0.99), _BUDGET)
    assert (few.accused, few.holds) == (0, False)
    assert few.least_budget == few.rate_at_most == pytest.approx(1 - 0.05 ** (1 / 100))
    none = certify(CalibrationFigures.of([], [0.9], "nothing"), Thresholds(0.1, 1.0), _BUDGET)
    assert (none.negatives, none.rate_at_most, none.holds) == (0, 1.0, False)


def test_the_card_tells_method_confidence_and_scope() -> None:
    certificate = json.loads(json.dumps(certify(figures(500), Thresholds(0.1, 0.95), _BUDGET).to_json()))
    assert (certificate["method"], certificate["confidence"]) == ("Clopper-Pearson, one-sided", 0.95)
    assert certificate["holds"] is True
    assert certificate["scope"] == "photographs of tests"
