import numpy as np
import pytest
from sklearn import metrics as sk

from training.evaluation.curves import curves


def predictions(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, count).astype(np.int8)
    return labels, 1 / (1 + np.exp(-(labels * 3.0 - 1.5 + rng.normal(0, 1.5, count))))


def test_thinned_curves_enclose_the_same_area() -> None:
    labels, probabilities = predictions(20_000)
    found = curves(labels, probabilities)
    roc, both = found["roc"], found["precision_recall"]
    assert len(roc["false_positive_rate"]) < 1000
    area = sk.auc(roc["false_positive_rate"], roc["true_positive_rate"])
    assert area == pytest.approx(sk.roc_auc_score(labels, probabilities), abs=1e-3)
    below = sk.auc(both["recall"], both["precision"])
    assert below == pytest.approx(sk.average_precision_score(labels, probabilities), abs=2e-3)


def test_bins_and_histogram_hold_every_image() -> None:
    labels, probabilities = predictions(500)
    found = curves(labels, probabilities)
    assert sum(part["images"] for part in found["reliability"]) == 500
    assert all(part["from"] <= part["mean_probability"] <= part["to"] for part in found["reliability"])
    assert sum(found["histogram"]["ai_generated"]) == labels.sum()
    assert sum(found["histogram"]["not_ai_generated"]) == (labels == 0).sum()


def test_one_class_has_bins_but_no_ranking() -> None:
    labels, probabilities = predictions(50)
    found = curves(np.zeros_like(labels), probabilities)
    assert (found["roc"], found["precision_recall"]) == (None, None)
    assert found["reliability"]
