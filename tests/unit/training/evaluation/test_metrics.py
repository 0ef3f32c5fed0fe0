import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn import metrics as sk

from training.evaluation.groups import by_group
from training.evaluation.metrics import Cuts, expected_calibration_error, measure
from worker.decisions.calibration import Thresholds

LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1], dtype=np.int8)
PROBABILITIES = np.array([0.1, 0.2, 0.3, 0.9, 0.4, 0.6, 0.8, 0.95])


def test_counts_and_shares_are_those_counted_by_hand() -> None:
    figures = measure(LABELS, PROBABILITIES)
    assert figures["confusion"] == {"tn": 3, "fp": 1, "fn": 1, "tp": 3}
    assert [figures[k] for k in ("accuracy", "balanced_accuracy", "precision", "recall", "f1")] == [0.75] * 5
    assert figures["auroc"] == 13 / 16
    assert figures["tpr_at_fpr_1pct"] == 0.25
    assert figures["brier"] == pytest.approx(np.mean((PROBABILITIES - LABELS) ** 2))
    assert figures["nll"] == pytest.approx(-np.log([0.9, 0.8, 0.7, 0.1, 0.4, 0.6, 0.8, 0.95]).mean())


@pytest.mark.parametrize("count", [20, 300, 3000])
def test_ranking_measures_are_the_library_s(count: int) -> None:
    rng = np.random.default_rng(count)
    labels = rng.integers(0, 2, count).astype(np.int8)
    shifted = np.clip(labels * 0.3 + rng.uniform(0, 0.7, count), 0, 1)
    probabilities = np.round(shifted, 2).astype(np.float64)  # with ties
    figures = measure(labels, probabilities)
    assert figures["auroc"] == pytest.approx(sk.roc_auc_score(labels, probabilities))
    assert figures["pauc_fpr_1pct"] == pytest.approx(sk.roc_auc_score(labels, probabilities, max_fpr=0.01))
    assert figures["ap"] == pytest.approx(sk.average_precision_score(labels, probabilities))
    assert figures["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(labels, probabilities >= 0.5))


def test_outside_uncertain_counts_verdicts_alone() -> None:
    figures = measure(LABELS, PROBABILITIES, Thresholds(lower=0.25, upper=0.85))
    assert (figures["coverage"], figures["accuracy_outside_uncertain"]) == (0.5, 0.75)
    assert tuple(figures[k] for k in ("wrongly_accused", "found", "wrongly_cleared")) == (0.25, 0.25, 0.0)


def test_each_image_can_have_thresholds_of_its_own() -> None:
    cuts = Cuts(np.array([0.05, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25]), np.array([0.5] * 7 + [0.97]))
    figures = measure(LABELS, PROBABILITIES, cuts)
    assert figures["verdicts"] == {
        "not_ai_generated": {"not_ai_generated": 1, "ai_generated": 0},
        "uncertain": {"not_ai_generated": 2, "ai_generated": 2},
        "ai_generated": {"not_ai_generated": 1, "ai_generated": 2},
    }
    groups = by_group(LABELS, PROBABILITIES, np.array(["a", "b"] * 4), cuts)
    assert (groups["a"]["found"], groups["b"]["found"]) == (0.5, 0.5)
    assert groups["b"]["wrongly_accused"] == 0.5


def test_one_class_has_no_ranking_but_an_accuracy() -> None:
    figures = measure(LABELS[:4], PROBABILITIES[:4], Thresholds(0.2, 0.8))
    assert (figures["auroc"], figures["recall"], figures["accuracy"]) == (None, None, 0.75)
    assert figures["found"] is None


def test_calibration_error_is_zero_when_told_truly_and_large_when_not() -> None:
    labels = np.array([0, 0, 0, 1] * 25, dtype=np.int8)
    assert expected_calibration_error(labels, np.full(100, 0.25)) == pytest.approx(0.0)
    assert expected_calibration_error(labels, np.full(100, 0.95)) == pytest.approx(0.70)


def even_odds(count: int, seed: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Right probabilities where both classes come equally often, and the labels they speak of."""
    rng = np.random.default_rng(seed)
    even = rng.uniform(0.02, 0.98, count)
    return (rng.random(count) < even).astype(np.int8), even


@pytest.mark.parametrize("in_them", [0.0, 0.7])
def test_right_odds_for_another_share_of_ai_generated_images_err_by_the_prior_alone(in_them: float) -> None:
    labels, even = even_odds(200_000)
    kept = (labels == 0) | (np.random.default_rng(1).random(200_000) < 0.25)  # one in five is left
    shifted = expit(logit(even[kept]) + in_them)
    figures = measure(labels[kept], shifted, prior_shift=in_them)
    assert figures["ece_15"] > 0.15
    assert figures["ece_15_at_own_prior"] < 0.01


@pytest.mark.parametrize(("slope", "bias"), [(3.0, 0.0), (1.0, 1.5)])
def test_the_prior_does_not_hide_odds_that_are_too_sure_or_biased(slope: float, bias: float) -> None:
    labels, even = even_odds(20_000)
    figures = measure(labels, expit(slope * logit(even) + bias), prior_shift=0.0)
    assert figures["ece_15_at_own_prior"] == pytest.approx(figures["ece_15"], abs=0.01)
    assert figures["ece_15_at_own_prior"] > 0.1


def test_calibration_at_the_own_prior_is_told_where_both_classes_and_the_shift_are_known() -> None:
    certain = measure(LABELS, np.array([0.0, 1.0] * 4), prior_shift=0.0)
    assert certain["ece_15_at_own_prior"] == pytest.approx(0.5)
    assert measure(LABELS[:4], PROBABILITIES[:4], prior_shift=0.0)["ece_15_at_own_prior"] is None
    assert "ece_15_at_own_prior" not in measure(LABELS, PROBABILITIES)
