import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from training.fitting.encoder_head import LinearHead, fit_linear_head, stored_as, tensors_of

RIDGE = 0.05


@pytest.fixture
def images() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    labels = (np.arange(400) % 2).astype(np.int8)
    features = rng.normal(3.0, 2.0, size=(400, 12)) @ rng.normal(size=(12, 12))
    features[:, 2] += 6.0 * labels
    return features.astype(np.float32), labels, np.full(400, 1 / 400)


def test_it_is_the_logistic_regression_of_standardised_features(images: tuple[np.ndarray, ...]) -> None:
    features, labels, weights = images
    head = fit_linear_head([features], labels, weights, RIDGE)
    standard = (features - features.mean(axis=0)) / features.std(axis=0)
    theirs = LogisticRegression(C=1 / (RIDGE * len(labels)), max_iter=1000, tol=1e-8).fit(standard, labels)
    assert np.allclose(head.weight, theirs.coef_[0], atol=2e-3)
    assert np.allclose(head.logits(features), theirs.decision_function(standard), atol=1e-2)


def test_weights_decide_whom_it_minds(images: tuple[np.ndarray, ...]) -> None:
    features, labels, _ = images
    flipped = np.where(np.arange(400) < 200, labels, 1 - labels).astype(np.int8)
    first = np.where(np.arange(400) < 200, 1.0, 0.01)
    head = fit_linear_head([features], flipped, first / first.sum(), RIDGE)
    assert roc_auc_score(labels, head.logits(features)) > 0.8


def test_a_dead_channel_does_not_count(images: tuple[np.ndarray, ...]) -> None:
    features, labels, weights = images
    features[:, 5] = 1e-6
    head = fit_linear_head([features], labels, weights, RIDGE)
    features[:, 5] = 2e-6
    assert np.isfinite(head.logits(features)).all()
    assert abs(head.weight[5]) < 1e-3


def test_later_draws_count_as_much_as_they_are_told_to(images: tuple[np.ndarray, ...]) -> None:
    features, labels, weights = images
    noise = np.random.default_rng(1).normal(size=features.shape).astype(np.float32)
    alone = fit_linear_head([features], labels, weights, RIDGE)
    none = fit_linear_head([features, noise], labels, weights, RIDGE, later_draws=0.0)
    some = fit_linear_head([features, noise], labels, weights, RIDGE, later_draws=0.3)
    assert np.allclose(none.weight, alone.weight, atol=1e-4)
    assert 0.0 < np.linalg.norm(some.weight) < np.linalg.norm(alone.weight)


def judged(tensors: dict[str, torch.Tensor], stored: np.ndarray) -> np.ndarray:
    weight, bias = tensors["head.weight"].float(), tensors["head.bias"].float()
    logits: np.ndarray = (torch.from_numpy(stored).float() @ weight[0] + bias).numpy()
    return logits


def test_no_projection_however_narrow_changes_a_logit(images: tuple[np.ndarray, ...]) -> None:
    features, labels, weights = images
    head = fit_linear_head([features], labels, weights, RIDGE)
    for components in (1, 4, 20):
        tensors = tensors_of(head, [features], weights, components)
        assert tensors["projection.weight"].shape == (components, 12)
        standard = (torch.from_numpy(features) - tensors["centre"]) / tensors["spread"]
        stored = (standard @ tensors["projection.weight"].float().T).numpy()
        assert np.allclose(judged(tensors, stored), head.logits(features), atol=2e-2)


def test_what_is_stored_gives_the_logits_of_heads_that_never_saw_the_image(images: tuple[np.ndarray, ...]) -> None:
    features, labels, weights = images
    head = fit_linear_head([features], labels, weights, RIDGE)
    tensors = tensors_of(head, [features], weights, 5)
    others = np.random.default_rng(0).normal(size=400)
    stored = stored_as(tensors, features, others)
    assert stored.dtype == np.float16
    assert np.allclose(judged(tensors, stored), others, atol=2e-2)
    assert np.abs(stored[:, 1:]).max() > 0.1


def test_a_head_without_any_signal_still_judges() -> None:
    head = LinearHead(np.zeros(3, np.float32), np.ones(3, np.float32), np.zeros(3, np.float32), 0.5)
    tensors = tensors_of(head, [np.ones((4, 3), np.float32)], np.full(4, 0.25), 2)
    assert all(torch.isfinite(value).all() for value in tensors.values())
