import numpy as np
import pytest

from training.metrics import bootstrap_intervals, by_group, expected_calibration_error, measure
from worker.calibration import Thresholds

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


def test_outside_uncertain_counts_verdicts_alone() -> None:
    figures = measure(LABELS, PROBABILITIES, Thresholds(lower=0.25, upper=0.85))
    assert (figures["coverage"], figures["accuracy_outside_uncertain"]) == (0.5, 0.75)
    assert tuple(figures[k] for k in ("wrongly_accused", "found", "wrongly_cleared")) == (0.25, 0.25, 0.0)


def test_one_class_has_no_ranking_but_an_accuracy() -> None:
    figures = measure(LABELS[:4], PROBABILITIES[:4], Thresholds(0.2, 0.8))
    assert (figures["auroc"], figures["recall"], figures["accuracy"]) == (None, None, 0.75)
    assert figures["found"] is None


def test_calibration_error_is_zero_when_told_truly_and_large_when_not() -> None:
    labels = np.array([0, 0, 0, 1] * 25, dtype=np.int8)
    assert expected_calibration_error(labels, np.full(100, 0.25)) == pytest.approx(0.0)
    assert expected_calibration_error(labels, np.full(100, 0.95)) == pytest.approx(0.70)


def test_the_worst_group_comes_first() -> None:
    sources = np.array(["good", "good", "good", "bad", "bad", "good", "good", "good"])
    groups = by_group(LABELS, PROBABILITIES, sources, None)
    assert list(groups) == ["bad", "good"]
    assert (groups["bad"]["accuracy"], groups["good"]["accuracy"]) == (0.0, 1.0)


def test_intervals_enclose_the_figure_and_widen_when_sources_differ() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 400).astype(np.int8)
    probabilities = np.clip(labels * 0.5 + rng.uniform(0, 0.5, 400) + rng.normal(0, 0.2, 400), 0, 1)
    mixed = bootstrap_intervals(labels, probabilities, np.array(["one"] * 400))["accuracy"]
    assert mixed[0] < np.mean((probabilities >= 0.5) == labels) < mixed[1]
    order = np.argsort((probabilities >= 0.5) == labels)
    unlike = np.repeat(["a", "b", "c", "d"], 100)
    apart = bootstrap_intervals(labels[order], probabilities[order], unlike)["accuracy"]
    assert apart[1] - apart[0] > mixed[1] - mixed[0]
