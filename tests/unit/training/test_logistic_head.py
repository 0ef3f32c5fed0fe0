import numpy as np
import pytest

from training.logistic_head import linear_head, logistic_of


def test_the_strength_is_chosen_though_most_sources_have_one_class() -> None:
    """Of eight sources two are AI-generated; only large weights of opposite signs take off what both features share."""
    rng = np.random.default_rng(0)
    places = np.repeat(np.arange(8), 100)
    labels = (places >= 6).astype(np.int8)
    features = np.repeat(rng.normal(0, 3.0, (800, 1)), 2, axis=1) + rng.normal(0, 0.02, (800, 2))
    features[:, 0] += 0.1 * labels
    found = logistic_of(features, -labels, np.ones(800), np.array([f"source {place}" for place in places]))
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
    weight, bias = linear_head(features, -labels, np.ones(720), groups, components=4)
    assert weight.shape == (1, 4)
    assert bias.shape == (1,)
    logits = features @ weight[0] + bias[0]
    assert np.corrcoef(logits, mixed[:, 3])[0, 1] > 0.5


@pytest.mark.parametrize("kinds_of_negatives", [1, 2])
def test_kinds_that_lie_far_apart_have_a_head(kinds_of_negatives: int) -> None:
    """As features of a good tower do, in float32: probabilities of 0, the logarithms of which are infinite."""
    rng = np.random.default_rng(5)
    kinds = (np.arange(1000) % (kinds_of_negatives + 1) - 1).astype(np.int8)
    features = (rng.normal(size=(1000, 128)) + 4.0 * np.eye(3)[kinds].repeat(43, axis=1)[:, :128]).astype(np.float32)
    groups = np.array([f"source {place % 50}" for place in range(1000)])
    weight, bias = linear_head(features, kinds, np.ones(1000), groups)
    assert weight.shape == (kinds_of_negatives, 128)
    assert np.array_equal((features @ weight.T + bias).min(axis=1) > 0, kinds == -1)


def test_no_more_components_are_taken_than_there_are() -> None:
    rng = np.random.default_rng(2)
    labels = np.tile([0, 1], 100).astype(np.int8)
    features = rng.normal(size=(200, 5)) + labels[:, None]
    groups = np.array([f"source {place}" for place in range(200)])
    weight, _ = linear_head(features, -labels, np.ones(200), groups, components=300)
    assert weight.shape == (1, 5)
    assert (weight > 0).all()


def test_components_without_variance_do_not_blow_the_weights_up() -> None:
    """Fewer images than components, in three dimensions."""
    rng = np.random.default_rng(3)
    labels = np.tile([0, 1], 30).astype(np.int8)
    features = (rng.normal(size=(60, 3)) + labels[:, None]) @ rng.normal(size=(3, 200))
    groups = np.array([f"source {place}" for place in range(60)])
    weight, _ = linear_head(features.astype(np.float32), -labels, np.ones(60), groups, components=300)
    assert np.abs(weight).max() < 1.0


def test_photographs_on_one_side_and_drawings_on_the_other_are_both_told_from_what_lies_between() -> None:
    """No linear function orders these: AI-generated pictures have a value between both kinds'."""
    rng = np.random.default_rng(4)
    kinds = np.repeat(np.array([-1, 0, 1], dtype=np.int8), 200)
    features = rng.normal(size=(600, 3))
    features[:, 0] += np.repeat([0.0, -5.0, 5.0], 200)
    groups = np.array([f"source {place % 30}-{place // 200}" for place in range(600)])
    weight, bias = linear_head(features, kinds, np.ones(600), groups, components=3)
    assert weight.shape == (2, 3)
    lower = (features @ weight.T + bias).min(axis=1)
    assert np.mean((lower > 0) == (kinds == -1)) > 0.97
    assert weight[0, 0] > 0.5 > -0.5 > weight[1, 0]
