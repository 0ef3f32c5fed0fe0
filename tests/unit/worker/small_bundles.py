"""Tiny detectors and bundles: every code path of the real ones, in milliseconds."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from worker.bundles.parts import BundleParts, DetectorPart
from worker.decisions.calibration import Calibration, CalibrationFigures, Fusion
from worker.detectors.build import build_detector
from worker.detectors.detector import Detector
from worker.images.views import ViewPlan

TOWER = {"image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "heads": 2, "mlp_ratio": 2.0, "output_dim": 16}
NETWORK = {"patch_size": 2, "depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]}
SMALL_VIEWS = {
    "patch_size": 1,
    "depths": [1, 1, 1, 0],
    "dims": [8, 8, 16, 16],
    "norm_layer": "batchnorm2d",
    "conv_mlp": True,
}

DETECTORS: dict[str, tuple[str, dict[str, Any], ViewPlan]] = {
    "clip, reduced whole": ("clip", {"tower": TOWER, "taps": [0, 1]}, ViewPlan(32, 1, 0)),
    "clip, whole and crops": ("clip", {"tower": TOWER, "taps": [0]}, ViewPlan(32, 1, 2)),
    "clip, stem and high-pass channels": (
        "clip",
        {"tower": TOWER, "taps": [0], "stem": [4, 8, 8], "residual": 8.0},
        ViewPlan(32, 1, 0),
    ),
    "convnext, native crops": ("convnext", {"network": NETWORK}, ViewPlan(48, 0, 3)),
    "convnext, overlapping stem": ("convnext", {"network": SMALL_VIEWS, "stem": [4, 8]}, ViewPlan(32, 1, 0)),
    "convnext, mirrored": ("convnext", {"network": SMALL_VIEWS, "stem": [4, 8]}, ViewPlan(32, 1, 5, mirrored=True)),
    "convnext, high-pass channels": (
        "convnext",
        {"network": SMALL_VIEWS, "stem": [8, 8], "residual": 8.0},
        ViewPlan(32, 0, 2),
    ),
}
DETECTORS |= {
    "srm, two scales": ("srm", {"scales": 2}, ViewPlan(32, 0, 1)),
    "srm, three scales": ("srm", {"scales": 3}, ViewPlan(64, 0, 3)),
}
# Published networks in small, wrapped.
PIXELS = {"mean": [0.48, 0.45, 0.4], "std": [0.23, 0.22, 0.22]}
VISION = {"image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "head_width": 16}
ATTO = {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]}
DETECTORS |= {
    "convnext, wrapped timm network of two logits": (
        "convnext",
        {"library": "timm", "model": "convnext_atto", "arguments": ATTO, "logits": 2, "own_head": True, **PIXELS},
        ViewPlan(64, 1, 0),
    ),
    "convnext, wrapped timm features": (
        "convnext",
        {"library": "timm", "model": "resnet10t", "sign": -1, **PIXELS},
        ViewPlan(64, 0, 2),
    ),
    "clip, wrapped open_clip tower": (
        "clip",
        {"library": "open_clip", "arguments": {"embed_dim": 16, "vision_cfg": VISION}, "logits": 2, **PIXELS},
        ViewPlan(32, 1, 0),
    ),
}
CONVOLUTIONS = {
    "kind": "encoder",
    "model": "test_efficientnet",
    "taps": ["blocks.1:mean", "blocks.1:std", "blocks.3:mean"],
    "features": 12,
    "arguments": {"bn_eps": 1e-3},
    **PIXELS,
}
TOKENS = {
    "kind": "encoder",
    "model": "test_vit",
    "taps": ["blocks.1:mean", "blocks.1:std", "norm:class"],
    "features": 8,
    **PIXELS,
}
DETECTORS |= {
    "encoder, convolutions": ("efficientnet", CONVOLUTIONS, ViewPlan(64, 1, 3)),
    "encoder, tokens": ("dinov2", TOKENS, ViewPlan(64, 1, 0)),
}


@pytest.fixture(params=list(DETECTORS.values()), ids=list(DETECTORS), scope="module")
def detector(request: pytest.FixtureRequest) -> Detector:
    """A detector that a module's tests share; a test that changes it changes a copy."""
    name, architecture, plan = request.param
    torch.manual_seed(3)
    made = build_detector(name, architecture, plan)
    livened(made.network)
    made.network.eval().requires_grad_(requires_grad=False)
    return made


def livened(network: torch.nn.Module) -> None:
    """Give every parameter a size that lets differences in the input reach the logit."""
    for name, value in network.named_parameters():
        if name.endswith("gamma"):
            torch.nn.init.constant_(value, 1.0)
        elif value.ndim > 1:
            torch.nn.init.normal_(value, std=1.5 * value[0].numel() ** -0.5)


@pytest.fixture
def make_parts() -> Callable[..., BundleParts]:
    def make(seed: int = 3, name: str = "tiny") -> BundleParts:
        torch.manual_seed(seed)
        detectors = {}
        for kind in ("clip, stem and high-pass channels", "convnext, native crops"):
            detector, architecture, plan = DETECTORS[kind]
            network = build_detector(detector, architecture, plan).network
            livened(network)
            tensors = {key: value.half() for key, value in network.state_dict().items()}
            detectors[detector] = DetectorPart(architecture, plan, tensors)
        return BundleParts(
            name=name,
            detectors=detectors,
            fusion=Fusion({"clip": 0.5, "convnext": 1.5}, ((0.1, 0.0, 1.0), (-0.1, 0.5, 2.0)), -0.2),
            calibrations={
                "clip": Calibration("temperature", (2.0,)),
                "convnext": Calibration("platt", (0.7, 0.1)),
                "fused": Calibration("beta", (0.8, 1.1, 0.2)),
            },
            figures=CalibrationFigures.of([0.1, 0.2, 0.3], [0.6, 0.8, 0.9], "tiny pictures"),
            card={"title": "tiny"},
        )

    return make
