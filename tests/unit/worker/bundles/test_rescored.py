"""What one bundle saw is enough for another whose detectors' bodies are the same."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from PIL import Image

from tests.unit.worker.small_bundles import CONVOLUTIONS
from worker.bundles.loaded import Bundle
from worker.bundles.parts import BundleParts, DetectorPart
from worker.database.features import StoredFeatures
from worker.decisions.calibration import Calibration
from worker.detectors.build import build_detector
from worker.images.views import ViewPlan


def seen_by(bundle: Bundle, image: Image.Image) -> tuple[StoredFeatures, Any]:
    prepared = bundle.prepare(image)
    (scores,) = bundle.score([prepared])
    assert scores.features is not None
    return StoredFeatures(scores.features, scores.logits, prepared.covariates), scores


@pytest.fixture
def tiny_parts(make_parts: Callable[..., BundleParts]) -> BundleParts:
    return make_parts()


@pytest.fixture
def image() -> Image.Image:
    return Image.effect_noise((96, 96), 60).convert("RGB")


def with_tensors(parts: BundleParts, name: str, **changes: torch.Tensor) -> BundleParts:
    part = parts.detectors[name]
    return replace(parts, detectors={**parts.detectors, name: replace(part, tensors={**part.tensors, **changes})})


def test_another_calibration_needs_no_pixels(tiny_parts: BundleParts, image: Image.Image) -> None:
    old = Bundle(tiny_parts)
    calibrations = {**tiny_parts.calibrations, "fused": Calibration("temperature", (3.0,))}
    new = Bundle(replace(tiny_parts, calibrations=calibrations))
    seen, _ = seen_by(old, image)
    (remembered,), (_, looked) = new.rescored([(old, seen)]), seen_by(new, image)
    assert remembered is not None
    assert remembered.probability == pytest.approx(looked.probability, abs=1e-6)
    assert new.version != old.version


def test_another_head_is_applied_to_the_features(tiny_parts: BundleParts, image: Image.Image) -> None:
    head = "head.1.weight"
    weight = tiny_parts.detectors["clip"].tensors[head]
    new = Bundle(with_tensors(tiny_parts, "clip", **{head: weight + 0.5 * torch.randn_like(weight)}))
    old = Bundle(tiny_parts)
    seen, _ = seen_by(old, image)
    (remembered,), (_, looked) = new.rescored([(old, seen)]), seen_by(new, image)
    assert remembered is not None
    assert remembered.logits["clip"] == pytest.approx(looked.logits["clip"], abs=5e-3)
    assert remembered.logits["convnext"] == looked.logits["convnext"]


def test_another_body_has_to_look_for_itself(tiny_parts: BundleParts, image: Image.Image) -> None:
    name = next(name for name in tiny_parts.detectors["convnext"].tensors if name.endswith("weight"))
    changed = tiny_parts.detectors["convnext"].tensors[name] * 1.5
    old, new = Bundle(tiny_parts), Bundle(with_tensors(tiny_parts, "convnext", **{name: changed}))
    seen, _ = seen_by(old, image)
    assert new.rescored([(old, seen)]) == [None]


def test_what_an_encoder_saw_in_several_views_keeps_their_gain(tiny_parts: BundleParts) -> None:
    torch.manual_seed(4)
    plan, architecture = ViewPlan(32, 0, 5), {**CONVOLUTIONS, "gain": 0.7}
    network = build_detector("lite2", architecture, plan).network
    part = DetectorPart(architecture, plan, {key: value.half() for key, value in network.state_dict().items()})
    parts = replace(
        tiny_parts,
        detectors={**tiny_parts.detectors, "lite2": part},
        fusion=replace(tiny_parts.fusion, weights={**tiny_parts.fusion.weights, "lite2": 1.0}),
        calibrations={**tiny_parts.calibrations, "lite2": Calibration("temperature", (1.0,))},
    )
    weight = part.tensors["head.weight"]
    new = Bundle(with_tensors(parts, "lite2", **{"head.weight": weight + torch.randn_like(weight)}))
    image = Image.effect_noise((300, 200), 60).convert("RGB")
    old = Bundle(parts)
    seen, _ = seen_by(old, image)
    (remembered,), (_, looked) = new.rescored([(old, seen)]), seen_by(new, image)
    assert remembered is not None
    assert remembered.logits["lite2"] == pytest.approx(looked.logits["lite2"], rel=5e-3)
    mean = replace(part, architecture={**architecture, "gain": 0.0})
    _, without = seen_by(Bundle(replace(parts, detectors={**parts.detectors, "lite2": mean})), image)
    assert abs(looked.logits["lite2"]) != pytest.approx(abs(without.logits["lite2"]), rel=0.1)
