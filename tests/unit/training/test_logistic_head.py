import numpy as np

from training.logistic_head import logistic_of


def test_the_strength_is_chosen_though_most_sources_have_one_class() -> None:
    """Of eight sources two are AI-generated; only large weights of opposite signs take off what both features share."""
    rng = np.random.default_rng(0)
    places = np.repeat(np.arange(8), 100)
    labels = (places >= 6).astype(np.int8)
    features = np.repeat(rng.normal(0, 3.0, (800, 1)), 2, axis=1) + rng.normal(0, 0.02, (800, 2))
    features[:, 0] += 0.1 * labels
    found = logistic_of(features, labels, np.ones(800), np.array([f"source {place}" for place in places]))
    assert found.C > 1e-3 * 800
    assert found.coef_[0][0] > 1.0 > -1.0 > found.coef_[0][1]
