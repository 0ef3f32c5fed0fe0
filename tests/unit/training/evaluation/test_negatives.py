import numpy as np

from tests.known_images import Images
from training.evaluation.metrics import Cuts
from training.evaluation.negatives import by_kind
from worker.decisions.bounds import clopper_pearson_upper
from worker.decisions.calibration import Thresholds

# 40 photographs of two sources, 60 drawings, 20 AI-generated.
SOURCES = np.array(["calm"] * 20 + ["odd"] * 20 + ["charts"] * 60 + ["ai"] * 20)
IMAGES = Images(
    np.array([0] * 100 + [1] * 20, dtype=np.int8),
    SOURCES,
    np.array(["real"] * 40 + ["program"] * 60 + ["sd"] * 20),
    np.array([f"{index:04x}" for index in range(120)]),
)
# Five of `odd` lie above 0.9, ten above one half.
PROBABILITIES = np.array([0.2] * 30 + [0.6] * 5 + [0.95] * 5 + [0.1] * 60 + [0.99] * 20)


def test_photographs_and_drawings_are_counted_apart_and_the_worst_source_is_named() -> None:
    found = by_kind(IMAGES, PROBABILITIES, Thresholds(0.3, 0.9))
    photographs, drawings = found["photographs"], found["drawings"]
    assert (photographs["images"], photographs["accused"], photographs["wrongly_accused"]) == (40, 5, 0.125)
    assert photographs["false_positive_rate"] == 0.25
    assert photographs["wrongly_accused_at_most"] == clopper_pearson_upper(5, 40)
    low, high = photographs["intervals_95"]["wrongly_accused"]
    assert (low, high) == (0.0, 1.0)  # two sources, of which one is accused, say nothing of a third
    assert photographs["worst_source"] == {
        "name": "odd",
        "images": 20,
        "accused": 5,
        "wrongly_accused": 0.25,
        "false_positive_rate": 0.5,
    }
    assert (drawings["images"], drawings["accused"], drawings["sources"]) == (60, 0, 1)
    assert drawings["worst_source"]["name"] == "charts"


def test_each_image_is_judged_by_thresholds_of_its_own() -> None:
    cuts = Cuts(np.full(120, 0.05), np.where(SOURCES == "calm", 0.1, 0.97))
    found = by_kind(IMAGES, PROBABILITIES, cuts)["photographs"]
    assert (found["accused"], found["worst_source"]["name"]) == (20, "calm")


def test_a_kind_that_is_not_there_is_not_told() -> None:
    rows = np.flatnonzero(IMAGES.generators != "program")
    some = Images(*(values[rows] for values in vars(IMAGES).values()))
    assert set(by_kind(some, PROBABILITIES[rows], Thresholds(0.3, 0.9))) == {"photographs"}
    ai = Images(*(values[100:] for values in vars(IMAGES).values()))
    assert by_kind(ai, PROBABILITIES[100:], Thresholds(0.3, 0.9)) == {}
