"""The bundles that come with the release are whole, small and give what they gave when they were made."""

from pathlib import Path

import numpy as np
import pytest

from training.data.drawings import draw_picture
from worker.bundles.loaded import Bundle, load_bundle, shipped_bundle
from worker.decisions.calibration import derive_thresholds

NAMES = ("wild", "cifake")


@pytest.fixture(scope="module", params=NAMES)
def bundle(request: pytest.FixtureRequest) -> Bundle:
    return load_bundle(shipped_bundle(request.param))


def test_it_loads_under_its_name_with_its_detectors(bundle: Bundle) -> None:
    assert bundle.version.startswith(f"{bundle.name}-")
    more = {"wild": {"srm", "lite2", "lite2x2"}, "cifake": {"lite2"}}
    assert set(bundle.detector_names) == {"clip", "convnext"} | more[bundle.name]
    assert bundle.version == bundle.card["bundle"]


def test_it_scores_the_probe_as_it_did_when_it_was_made(bundle: Bundle) -> None:
    probe = bundle.card["probe"]
    (scores,) = bundle.score([bundle.prepare(draw_picture(probe["seed"], 224)[1])])
    assert probe["logits"] == pytest.approx(scores.logits, abs=1e-3)
    assert probe["probability"] == pytest.approx(scores.probability, abs=1e-3)


def test_its_figures_tell_the_classes_apart(bundle: Bundle) -> None:
    negatives, positives = np.array(bundle.figures.negatives), np.array(bundle.figures.positives)
    above = np.searchsorted(negatives, positives) / len(negatives)  # share of negatives below each positive
    least = {"wild": 0.8, "cifake": 0.98}[bundle.name]
    assert least < above.mean() < 1.0


def test_its_figures_certify_one_wrong_in_a_hundred(bundle: Bundle) -> None:
    thresholds = derive_thresholds(bundle.figures, false_positive_budget=0.01, miss_budget=0.05)
    accused = np.mean(np.array(bundle.figures.negatives) > thresholds.upper)
    assert 0.0 < accused < 0.01
    assert 0.0 < thresholds.lower <= thresholds.upper < 1.0


def test_it_explains_what_it_scores(bundle: Bundle) -> None:
    bundle.warm_up(2)
    prepared = [bundle.prepare(draw_picture(seed, 224)[1]) for seed in range(4)]
    heatmaps = bundle.heatmaps(prepared)
    for name in bundle.detector_names:
        assert max(float(of_image[name].raw.max()) for of_image in heatmaps) > 0


def test_they_are_small_enough_to_ship() -> None:
    size = sum(file.stat().st_size for name in NAMES for file in Path(shipped_bundle(name)).iterdir())
    assert size < 40 * 2**20
