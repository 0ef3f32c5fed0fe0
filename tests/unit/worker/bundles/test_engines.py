import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.unit.worker.small_bundles import DETECTORS
from worker.bundles import engines
from worker.bundles.check_pictures import check_pictures
from worker.bundles.engines import EnginePlan, agree, choose_engines
from worker.bundles.loaded import Bundle
from worker.bundles.parts import BundleParts, DetectorPart
from worker.bundles.scores import NotFiniteError
from worker.decisions.calibration import CalibrationFigures
from worker.detectors.build import build_detector
from worker.detectors.engine.eager import EagerTorch
from worker.detectors.engine.guarded import GuardedEngine
from worker.metrics import ENGINE_NOT_FINITE

FIGURES = CalibrationFigures.of([0.1, 0.2, 0.3], [0.6, 0.8, 0.9], "few")


class Shifted:
    """An engine that is off by that factor, or gives NaN."""

    def __init__(self, eager: EagerTorch, shift: float) -> None:
        self.name, self.precision = "openvino", "bf16"
        self._eager = eager
        self._shift = shift

    def __call__(self, views: Tensor) -> Tensor:
        return self._eager(views).flip(1) * self._shift  # a shift alone would be normalised away


def with_encoder(parts: BundleParts) -> BundleParts:
    """Add an encoder detector whose features are stored."""
    name, architecture, plan = DETECTORS["encoder, convolutions"]
    torch.manual_seed(4)
    tensors = {
        key: value.half() for key, value in build_detector(name, architecture, plan).network.state_dict().items()
    }
    return replace(
        parts,
        detectors={**parts.detectors, name: DetectorPart(architecture, plan, tensors)},
        fusion=replace(parts.fusion, weights={**parts.fusion.weights, name: 1.0}),
        calibrations={**parts.calibrations, name: parts.calibrations["clip"]},
    )


@pytest.fixture(autouse=True)
def few_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_PICTURES", 6)


@pytest.fixture
def bundle(make_parts: Callable[..., BundleParts]) -> Bundle:
    return Bundle(make_parts())


def test_check_pictures_are_many_different_ones_and_always_the_same() -> None:
    first, second = (list(map(np.asarray, check_pictures(12))) for _ in range(2))
    assert all(np.array_equal(*pair) for pair in zip(first, second, strict=True))
    assert len({(picture.shape, picture.tobytes()) for picture in first}) == 12


def test_openvino_is_chosen_where_it_agrees_and_remembered(bundle: Bundle, tmp_path: Path) -> None:
    plan = EnginePlan("auto", tmp_path, threads=1)
    pictures = [bundle.prepare(picture) for picture in check_pictures(6)]
    eager = [scores.probability for scores in bundle.score(pictures)]
    chosen = choose_engines(bundle, plan)
    assert {kind[0] for kind in chosen.values()} == {"openvino"}
    assert [scores.probability for scores in bundle.score(pictures)] == pytest.approx(eager, abs=0.005)
    exports = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    assert chosen == choose_engines(bundle, plan)
    assert exports == {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}


def test_what_was_remembered_is_taken_over_without_a_pass_of_eager_torch(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = EnginePlan("auto", tmp_path, threads=1)
    chosen = choose_engines(bundle, plan)
    bundle.run_eagerly()
    monkeypatch.setattr(bundle, "run_eagerly", lambda: pytest.fail("eager torch was asked again"))
    assert choose_engines(bundle, plan) == chosen


def test_a_note_of_an_older_release_is_taken_over_and_completed(bundle: Bundle, tmp_path: Path) -> None:
    plan = EnginePlan("auto", tmp_path, threads=1)
    chosen = choose_engines(bundle, plan)
    [note] = tmp_path.glob("*.json")
    complete = note.read_text(encoding="utf-8")
    note.write_text(json.dumps(chosen), encoding="utf-8")
    assert choose_engines(bundle, plan) == chosen
    assert set(json.loads(note.read_text(encoding="utf-8"))) == set(json.loads(complete))


def test_torch_is_eager_on_a_cpu(bundle: Bundle, tmp_path: Path) -> None:
    assert set(choose_engines(bundle, EnginePlan("torch", tmp_path)).values()) == {("torch", "fp32")}


def test_a_cache_that_cannot_be_written_is_done_without(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert set(choose_engines(bundle, EnginePlan("torch", tmp_path / "file" / "engine")).values()) == {
        ("torch", "fp32")
    }


@pytest.mark.parametrize("shift", [-5.0, float("nan")])
def test_an_engine_that_disagrees_is_not_taken(bundle: Bundle, monkeypatch: pytest.MonkeyPatch, shift: float) -> None:
    monkeypatch.setattr(engines, "_made", lambda _bundle, detector, *_: Shifted(EagerTorch(detector.body()), shift))
    # NaN never comes out: the guard has eager torch run that batch.
    expected = "openvino" if shift != shift else "torch"  # noqa: PLR0124
    before = ENGINE_NOT_FINITE.labels("convnext")._value.get()
    assert {kind[0] for kind in choose_engines(bundle, EnginePlan("auto")).values()} == {expected}
    assert (ENGINE_NOT_FINITE.labels("convnext")._value.get() > before) == (expected == "openvino")


def test_what_was_remembered_is_chosen_anew_where_it_no_longer_agrees(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose_engines(bundle, EnginePlan("auto", tmp_path))
    monkeypatch.setattr(engines, "_made", lambda _bundle, detector, *_: Shifted(EagerTorch(detector.body()), -5.0))
    assert {kind[0] for kind in choose_engines(bundle, EnginePlan("auto", tmp_path)).values()} == {"torch"}


def test_a_batch_that_is_not_finite_is_run_again_and_counted(bundle: Bundle) -> None:
    detector, counted = bundle.detector("clip"), []
    eager = EagerTorch(detector.body())
    views = detector.views(check_pictures(1)[0])
    guarded = GuardedEngine(Shifted(eager, float("nan")), eager, lambda: counted.append(1))
    with torch.inference_mode():
        assert torch.equal(eager(views), guarded(views))
    assert counted == [1]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_an_encoder_s_engine_gives_without_being_finite_is_never_served(
    make_parts: Callable[..., BundleParts], bad: float
) -> None:
    bundle = Bundle(with_encoder(make_parts()))
    pictures = [bundle.prepare(picture) for picture in check_pictures(3)]
    expected = bundle.score(pictures)
    detector = bundle.detector("efficientnet")
    eager = EagerTorch(detector.body())
    before = ENGINE_NOT_FINITE.labels("efficientnet")._value.get()
    detector.engine = GuardedEngine(Shifted(eager, bad), eager, partial(engines._count, "efficientnet"))
    served = bundle.score(pictures)
    assert [(one.probability, one.features) for one in served] == [(one.probability, one.features) for one in expected]
    assert ENGINE_NOT_FINITE.labels("efficientnet")._value.get() > before
    assert served[0].engines["efficientnet"] == "torch fp32"  # what ran, not what was chosen


def test_an_image_without_any_finite_number_is_refused(bundle: Bundle) -> None:
    pictures = [bundle.prepare(picture) for picture in check_pictures(2)]
    broken = Shifted(EagerTorch(bundle.detector("clip").body()), float("nan"))
    bundle.detector("clip").engine = GuardedEngine(broken, broken, lambda: None)
    with pytest.raises(NotFiniteError, match="gives no finite number for an image"):
        bundle.score(pictures)
    bundle.run_eagerly()
    assert len(bundle.score(pictures)) == 2


@pytest.mark.parametrize(
    ("after", "expected"),
    [([0.15, 0.95], True), ([0.154, 0.947], True), ([0.156, 0.95], False), ([float("nan"), 0.95], False)],
)
def test_engines_agree_within_half_a_hundredth(after: list[float], expected: bool) -> None:  # noqa: FBT001
    assert agree([0.15, 0.95], after, FIGURES) is expected


def test_engines_disagree_where_a_verdict_changes() -> None:
    assert not agree([0.2999], [0.3001], FIGURES)
