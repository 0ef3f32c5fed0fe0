"""The checks tell maps that mean something from maps that do not."""

from pathlib import Path

import numpy as np
import pytest

from tests.planted_mark import NETWORKS, PLANS, picture, trained
from training.evaluation.heatmap_checks import heatmap_checks, in_words
from training.evaluation.pictures import Pictures, open_pictures
from worker.bundles.card_heatmaps import HeatmapCheck, HeatmapChecks
from worker.bundles.loaded import Bundle
from worker.detectors.build import build_detector
from worker.detectors.detector import Detector
from worker.detectors.engine.openvino import OpenVinoEngine, export


class OneDetector:
    """A bundle as far as the checks look at it."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self.detector_names = (detector.name,)

    def detector(self, _name: str) -> Detector:
        return self._detector


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    folder: Path = tmp_path_factory.mktemp("pictures") / "fake"
    folder.mkdir()
    for seed in range(3000, 3012):
        picture(seed, marked=True).save(folder / f"{seed}.png")
    return open_pictures([folder.parent])


def checked(detector: Detector, pictures: Pictures) -> dict[str, HeatmapCheck]:
    bundle: Bundle = OneDetector(detector)  # type: ignore[assignment]
    found = heatmap_checks(bundle, pictures, 12)
    assert found.images == 12
    few = heatmap_checks(bundle, pictures, 3)
    assert few == heatmap_checks(bundle, pictures, 3)
    assert len(in_words(found)) == len(found.detectors[detector.name])
    return found.detectors[detector.name]


def test_maps_of_a_detector_that_learnt_a_mark_beat_random_ones_and_change_with_its_weights(marked: Pictures) -> None:
    methods = checked(trained("convnext"), marked)
    assert set(methods) == {"grad-cam", "grad-cam-multilayer"}
    own = methods["grad-cam-multilayer"]
    for check in (own.deletion, own.insertion):
        assert check.gain > 0.05, own
        assert check.interval_95[0] > 0, own
        assert (check.share_better or 0.0) > 0.7
    assert abs(own.shuffled or 0.0) < 0.7


def test_a_detector_that_an_engine_runs_is_checked_with_shuffled_weights(marked: Pictures) -> None:
    """OpenVINO's requests cannot be copied, and they hold the weights as they were."""
    detector = trained("convnext")
    torch_alone = heatmap_checks(OneDetector(detector), marked, 2)  # type: ignore[arg-type]
    detector.engine = OpenVinoEngine(export(detector.body(), detector.plan.size, None, "x"), "fp32", 1)  # type: ignore[attr-defined]
    by_engine = heatmap_checks(OneDetector(detector), marked, 2)  # type: ignore[arg-type]
    name = detector.name
    assert {m: c.shuffled for m, c in by_engine.detectors[name].items()} == {
        m: c.shuffled for m, c in torch_alone.detectors[name].items()
    }


def test_no_pictures_are_no_checks(marked: Pictures) -> None:
    detector = build_detector("clip", NETWORKS["clip"], PLANS["clip"])
    bundle: Bundle = OneDetector(detector)  # type: ignore[assignment]
    nothing = marked.take(np.zeros(len(marked), dtype=bool))
    assert heatmap_checks(bundle, nothing, 5) == HeatmapChecks(images=0, detectors={})
