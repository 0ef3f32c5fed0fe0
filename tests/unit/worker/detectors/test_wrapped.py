from typing import Any

import pytest
import timm
import torch

from worker.detectors.build import build_detector
from worker.detectors.wrapped import WrappedNetwork
from worker.images.views import ViewPlan

ATTO: dict[str, Any] = {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]}
TWO: dict[str, Any] = {
    "library": "timm",
    "model": "convnext_atto",
    "arguments": ATTO,
    "logits": 2,
    "own_head": True,
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}


def test_the_network_sees_pixels_as_its_authors_prepared_them_and_two_logits_become_their_difference() -> None:
    torch.manual_seed(0)
    detector = build_detector("convnext", TWO, ViewPlan(32, 1, 0))
    theirs = timm.create_model("convnext_atto", num_classes=2, **ATTO)
    detector.network.get_submodule("body").load_state_dict(theirs.state_dict())
    detector.network.eval()
    theirs.eval()
    raw = torch.rand(2, 3, 32, 32)
    mean, std = torch.tensor(TWO["mean"]).view(1, 3, 1, 1), torch.tensor(TWO["std"]).view(1, 3, 1, 1)
    logits = theirs((raw - mean) / std)
    ours = detector.view_logits((raw - 0.5) / 0.25)
    torch.testing.assert_close(ours, logits[:, 1] - logits[:, 0], atol=1e-5, rtol=1e-4)
    turned = build_detector("convnext", {**TWO, "sign": -1}, ViewPlan(32, 1, 0))
    turned.network.load_state_dict(detector.network.state_dict())
    turned.network.eval()
    torch.testing.assert_close(turned.view_logits((raw - 0.5) / 0.25), -ours)


def test_features_of_length_one_are_asked_for_by_name() -> None:
    architecture = {**TWO, "own_head": False, "logits": 1, "normalised": True}
    network = build_detector("convnext", architecture, ViewPlan(32, 1, 0)).network
    assert isinstance(network, WrappedNetwork)
    lengths = network.eval().features(torch.randn(3, 3, 32, 32)).norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones(3))


FOREIGN: dict[str, dict[str, Any]] = {
    "a hub id for an architecture": {**TWO, "model": "hf-hub:someone/network"},
    "a folder for an architecture": {**TWO, "model": "local-dir:/etc"},
    "weights of its own": {**TWO, "arguments": {**ATTO, "checkpoint_path": "weights.pth"}},
    "pretrained weights": {**TWO, "arguments": {"pretrained": True}},
    "a tower from a hub": {
        **TWO,
        "library": "open_clip",
        "model": "",
        "own_head": False,
        "arguments": {"embed_dim": 8, "vision_cfg": {"timm_model_name": "hf-hub:someone/network"}},
    },
    "three logits": {**TWO, "logits": 3},
    "a mean of four channels": {**TWO, "mean": [0.5] * 4},
}


@pytest.mark.parametrize("architecture", FOREIGN.values(), ids=FOREIGN.keys())
def test_an_architecture_that_is_no_plain_network_is_refused(architecture: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"fetch|knows no|impossible"):
        build_detector("convnext", architecture, ViewPlan(32, 1, 0))
