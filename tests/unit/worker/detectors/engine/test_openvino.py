from pathlib import Path

import pytest
import torch

from tests.unit.worker.small_bundles import DETECTORS
from worker.detectors.build import build_detector
from worker.detectors.detector import OneNetwork
from worker.detectors.engine.eager import EagerTorch
from worker.detectors.engine.openvino import CANNOT_EXPORT, OpenVinoEngine, cpu_precisions, export

# Counting triples has no counterpart in OpenVINO.
EXPORTED = {name: made for name, made in DETECTORS.items() if made[0] != "srm"}


def made(name: str) -> OneNetwork:
    torch.manual_seed(5)
    detector = build_detector(*DETECTORS[name])
    detector.network.eval().requires_grad_(requires_grad=False)
    return detector


def views_for(detector: OneNetwork, count: int = 5) -> torch.Tensor:
    size = detector.plan.size
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8)


@pytest.mark.parametrize("name", EXPORTED)
@torch.inference_mode()
def test_an_exported_body_gives_what_eager_torch_gives(name: str) -> None:
    detector = made(name)
    views = views_for(detector)
    engine = OpenVinoEngine(export(detector.body(), detector.plan.size, None, ""), "fp32", 2)
    expected, found = EagerTorch(detector.body())(views), engine(views)
    assert (torch.float32, expected.shape) == (found.dtype, found.shape)
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=2e-3)


@torch.inference_mode()
def test_a_view_s_result_is_the_same_each_time_and_whatever_is_beside_it() -> None:
    detector = made("encoder, convolutions")
    views = views_for(detector, 7)
    engine = OpenVinoEngine(export(detector.body(), detector.plan.size, None, ""), cpu_precisions()[0], 2)
    together = engine(views)
    alone = torch.cat([engine(one[None]) for one in views])
    assert torch.equal(together, engine(views))
    assert torch.equal(together, alone)
    assert engine(views[:0]).shape == (0, together.shape[1])


def test_a_body_that_openvino_cannot_run_says_so() -> None:
    detector = made("srm, two scales")
    with pytest.raises(CANNOT_EXPORT):
        export(detector.body(), detector.plan.size, None, "")


@torch.inference_mode()
def test_an_export_is_kept_by_content_and_made_again_where_it_is_damaged(tmp_path: Path) -> None:
    detector = made("clip, reduced whole")
    views, body = views_for(detector), detector.body()
    first = OpenVinoEngine(export(body, 32, tmp_path, "a"), "fp32", 1)(views)
    (file,) = tmp_path.glob("*.xml")
    export(body, 32, tmp_path, "another")
    assert len(list(tmp_path.glob("*.xml"))) == 2
    file.write_text("<net>", encoding="utf-8")
    again = OpenVinoEngine(export(body, 32, tmp_path, "a"), "fp32", 1)(views)
    assert torch.equal(first, again)
    read = OpenVinoEngine(export(body, 32, tmp_path, "a"), "fp32", 1)(views)
    assert torch.equal(first, read)
    assert not list(tmp_path.glob(".export-*"))


def test_nothing_is_reported_to_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    def report(*_: object, **__: object) -> None:
        raise AssertionError("OpenVINO reports its use")

    monkeypatch.setattr("openvino_telemetry.main.Telemetry.__init__", report)
    detector = made("clip, reduced whole")
    export(detector.body(), detector.plan.size, None, "")
