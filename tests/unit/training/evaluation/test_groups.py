import numpy as np
import pytest

from tests.known_images import Images
from training.evaluation.groups import add_ranking_against_negatives, by_group, worst_of

LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1], dtype=np.int8)
PROBABILITIES = np.array([0.1, 0.2, 0.3, 0.9, 0.4, 0.6, 0.8, 0.95])


def test_the_worst_group_comes_first() -> None:
    sources = np.array(["good", "good", "good", "bad", "bad", "good", "good", "good"])
    groups = by_group(LABELS, PROBABILITIES, sources, None)
    assert list(groups) == ["bad", "good"]
    assert (groups["bad"]["accuracy"], groups["good"]["accuracy"]) == (0.0, 1.0)


def test_a_generator_is_ranked_against_everything_that_is_not_ai() -> None:
    generators = np.array(["real"] * 4 + ["sd", "sd", "mj", "mj"])
    groups = by_group(LABELS, PROBABILITIES, generators, None)
    add_ranking_against_negatives(groups, LABELS, PROBABILITIES, generators)
    assert (groups["sd"]["auroc"], groups["sd"]["auroc_against_negatives"]) == (None, 6 / 8)
    assert groups["mj"]["auroc_against_negatives"] == 7 / 8
    assert "auroc_against_negatives" not in groups["real"]


def test_the_worst_group_is_one_large_enough_to_say_so() -> None:
    groups = {
        "chance": {"images": 2, "accuracy": 0.0},
        "bad": {"images": 50, "accuracy": 0.4},
        "good": {"images": 90, "accuracy": 0.9},
    }
    assert worst_of(groups) == {"name": "bad", "images": 50, "accuracy": 0.4}
    assert worst_of({"chance": groups["chance"]}) == {"name": "chance", "images": 2, "accuracy": 0.0}
    assert worst_of({}) is None


def test_copies_in_the_one_source_of_a_generator_say_no_more_than_one_of_them() -> None:
    rng = np.random.default_rng(0)
    probabilities, generators = rng.uniform(0, 1, 80), np.repeat(["one", "several"], 40)
    labels, hashes = np.ones(80, dtype=np.int8), np.array([f"{i:02x}" for i in range(80)])
    sources = np.where(generators == "one", "a", np.array(["a", "b"])[np.arange(80) % 2])

    def of(times: int) -> dict[str, list[float]]:
        images = Images(*(np.tile(values, times) for values in (labels, sources, generators, hashes)))
        found = by_group(images.labels, np.tile(probabilities, times), images.generators, None, images)
        return {name: one["intervals_95"]["accuracy"] for name, one in found.items()}

    assert of(10) == {name: [pytest.approx(end) for end in ends] for name, ends in of(1).items()}
