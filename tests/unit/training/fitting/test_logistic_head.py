import numpy as np
import pytest

from training.fitting.logistic_head import _STRENGTHS, _WHITENED, _against_each, logistic_of, whitening_of


def test_the_strength_is_chosen_though_most_sources_have_one_class() -> None:
    """Of eight sources two are AI-generated; only large weights of opposite signs take off what both features share."""
    rng = np.random.default_rng(0)
    places = np.repeat(np.arange(8), 100)
    labels = (places >= 6).astype(np.int8)
    features = np.repeat(rng.normal(0, 3.0, (800, 1)), 2, axis=1) + rng.normal(0, 0.02, (800, 2))
    features[:, 0] += 0.1 * labels
    groups = np.array([f"source {place}" for place in places])
    found = logistic_of(features, -labels, np.ones(800), groups, [strength * 800 for strength in _STRENGTHS])
    assert found.C > 1e-3 * 800
    assert found.coef_[0][0] < -1.0 < 1.0 < found.coef_[0][1]  # scikit-learn's are of the second kind, not AI-generated


def test_whitened_components_find_what_hides_below_what_differs_between_sources() -> None:
    """Sources differ by thousands of what tells the classes; on the features as they are, that is never found."""
    rng = np.random.default_rng(1)
    places = np.repeat(np.arange(12), 60)
    labels = (places % 2).astype(np.int8)
    offsets = rng.normal(0, 1.0, (12, 3))[places]
    mixed = np.column_stack([offsets, 0.02 * (2.0 * labels - 1.0 + rng.normal(0, 1.0, 720))])
    features = mixed @ np.linalg.qr(rng.normal(size=(4, 4)))[0]
    groups = np.array([f"source {place}" for place in places])
    weight, bias = whitening_of(features, 4)
    found = logistic_of(
        features @ weight.T + bias, -labels, np.ones(720), groups, [strength / 720 for strength in _WHITENED]
    )
    (function,), (offset,) = _against_each(found)
    logits = (features @ weight.T + bias) @ function + offset
    assert np.corrcoef(logits, mixed[:, 3])[0, 1] > 0.5


def test_components_are_as_wide_as_each_other_and_about_nothing() -> None:
    features = np.random.default_rng(6).normal(3.0, [5.0, 1.0, 0.2], (500, 3))
    weight, bias = whitening_of(features, 2)
    projected = features @ weight.T + bias
    np.testing.assert_allclose(np.cov(projected.T), np.eye(2), atol=1e-6)
    np.testing.assert_allclose(projected.mean(axis=0), 0.0, atol=1e-9)


@pytest.mark.parametrize("kinds_of_negatives", [1, 2])
def test_kinds_that_lie_far_apart_have_a_head(kinds_of_negatives: int) -> None:
    """As features of a good tower do, in float32: probabilities of 0, the logarithms of which are infinite."""
    rng = np.random.default_rng(5)
    kinds = (np.arange(1000) % (kinds_of_negatives + 1) - 1).astype(np.int8)
    features = (rng.normal(size=(1000, 128)) + 4.0 * np.eye(3)[kinds].repeat(43, axis=1)[:, :128]).astype(np.float32)
    groups = np.array([f"source {place % 50}" for place in range(1000)])
    strengths = [strength * 1000 for strength in _STRENGTHS]
    weight, bias = _against_each(logistic_of(features, kinds, np.ones(1000), groups, strengths))
    assert weight.shape == (kinds_of_negatives, 128)
    assert np.array_equal((features @ weight.T + bias).min(axis=1) > 0, kinds == -1)


def test_components_that_few_images_do_not_have_are_nothing() -> None:
    """Sixty images in three dimensions of two hundred: the others are rounding, and would be blown up."""
    rng = np.random.default_rng(3)
    features = (rng.normal(size=(60, 3)) @ rng.normal(size=(3, 200))).astype(np.float32)
    weight, bias = whitening_of(features, 100)
    assert weight.shape == (100, 200)
    assert bias.shape == (100,)
    assert np.array_equal(weight.any(axis=1), np.arange(100) < 3)
    assert np.abs(weight).max() < 1.0


def test_photographs_on_one_side_and_drawings_on_the_other_are_both_told_from_what_lies_between() -> None:
    """No linear function orders these: AI-generated pictures have a value between both kinds'."""
    rng = np.random.default_rng(4)
    kinds = np.repeat(np.array([-1, 0, 1], dtype=np.int8), 200)
    features = rng.normal(size=(600, 3))
    features[:, 0] += np.repeat([0.0, -5.0, 5.0], 200)
    groups = np.array([f"source {place % 30}-{place // 200}" for place in range(600)])
    strengths = [strength / 600 for strength in _WHITENED]
    weight, bias = _against_each(logistic_of(features, kinds, np.ones(600), groups, strengths))
    assert weight.shape == (2, 3)
    lower = (features @ weight.T + bias).min(axis=1)
    assert np.mean((lower > 0) == (kinds == -1)) > 0.97
    assert weight[0, 0] > 0.5 > -0.5 > weight[1, 0]
