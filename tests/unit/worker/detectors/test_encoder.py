from dataclasses import replace

import pytest
import timm
import torch

from tests.unit.worker.small_bundles import CONVOLUTIONS, TOKENS
from worker.detectors import heatmap as drawing
from worker.detectors.build import build_detector
from worker.detectors.encoder import EncoderDetector
from worker.detectors.pixels import normalise
from worker.images.views import ViewPlan


def made(architecture: dict[str, object], size: int = 64) -> EncoderDetector:
    torch.manual_seed(2)
    detector = build_detector("any", architecture, ViewPlan(size, 1, 1))
    assert isinstance(detector, EncoderDetector)
    detector.network.eval()
    return detector


@pytest.mark.parametrize("architecture", [CONVOLUTIONS, TOKENS], ids=["convolutions", "tokens"])
@torch.no_grad()
def test_features_are_what_was_pooled_standardised_and_projected(architecture: dict[str, object]) -> None:
    detector = made(architecture)
    state = detector.network.state_dict()
    state["centre"].normal_()
    state["spread"].uniform_(0.5, 2.0)
    views = torch.randint(0, 256, (3, 2, 3, 64, 64), dtype=torch.uint8)
    logits, features = detector.see(views)
    pooled = detector.run(views).view(3, 2, -1)
    expected = ((pooled - state["centre"]) / state["spread"]) @ state["projection.weight"].T + state["projection.bias"]
    torch.testing.assert_close(features, expected.mean(dim=1), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(logits, detector.logits(views), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(logits, detector.judge_features(features.half()), atol=1e-2, rtol=1e-2)


@torch.no_grad()
def test_several_views_say_more_than_one_by_the_power_of_what_they_cover() -> None:
    plan = ViewPlan(64, 0, 5)
    torch.manual_seed(2)
    mean = build_detector("x", CONVOLUTIONS, plan)
    assert isinstance(mean, EncoderDetector)
    gained = EncoderDetector("x", replace(mean.architecture, gain=0.5), plan)
    gained.network.load_state_dict(mean.network.state_dict())
    views = torch.randint(0, 256, (2, 5, 3, 64, 64), dtype=torch.uint8)
    sizes = [(64, 64), (900, 900)]
    _, before = mean.see(views, sizes)
    logits, after = gained.see(views, sizes)
    torch.testing.assert_close(after[0], before[0])
    torch.testing.assert_close(after[1], before[1] * 5**0.5)
    torch.testing.assert_close(logits, gained.judge_features(after))
    torch.testing.assert_close(logits, gained.logits(views, sizes))
    torch.testing.assert_close(mean.see(views)[1], before)


@torch.no_grad()
def test_pixels_reach_the_network_as_it_was_trained_with_them() -> None:
    detector = made({**TOKENS, "taps": ["norm:class"]})
    raw = torch.rand(2, 3, 64, 64)
    mean, std = (torch.tensor(TOKENS[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    expected = detector.network.get_submodule("body.net").forward_features((raw - mean) / std)[:, 0]  # type: ignore[operator]
    torch.testing.assert_close(detector.features((raw - 0.5) / 0.25), expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_mean_and_spread_are_over_positions_without_the_class_token() -> None:
    detector = made({**TOKENS, "taps": ["norm:mean", "norm:std"]})
    pixels = torch.randn(2, 3, 64, 64)
    body = detector.network.get_submodule("body")
    tokens = body.net.forward_features(pixels * body.scale + body.offset)[:, 1:]  # type: ignore[operator,union-attr]
    expected = torch.cat([tokens.mean(dim=1), tokens.std(dim=1, unbiased=False)], dim=1)
    torch.testing.assert_close(detector.features(pixels), expected, atol=1e-4, rtol=1e-4)


def test_a_bundle_s_own_weights_count_before_the_encoder_s() -> None:
    detector = made(CONVOLUTIONS)
    encoder = timm.create_model("test_efficientnet", pretrained=False, num_classes=0).state_dict()
    own = {name: value for name, value in detector.network.state_dict().items() if not name.startswith("body.")}
    name = "blocks.3.0.conv_dw.weight"
    adapted = torch.full_like(encoder[name], 0.25).half()
    state = detector.whole_state({**own, f"body.net.{name}": adapted}, encoder)
    detector.network.load_state_dict(state)
    assert torch.equal(state[f"body.net.{name}"], adapted.float())
    assert torch.equal(state["body.net.conv_stem.weight"], encoder["conv_stem.weight"])


def test_positions_are_resampled_to_the_size_of_the_views() -> None:
    encoder = timm.create_model("test_vit", pretrained=False, num_classes=0).state_dict()
    detector = made(TOKENS)
    own = {name: value for name, value in detector.network.state_dict().items() if not name.startswith("body.")}
    detector.network.load_state_dict(detector.whole_state(own, encoder))
    assert encoder["pos_embed"].shape[1] == 1 + (160 // 16) ** 2
    assert detector.network.get_parameter("body.net.pos_embed").shape[1] == 1 + (64 // 16) ** 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"features": 1025}, "from 1 to 1024"),
        ({"taps": []}, "taps are LAYER:mean"),
        ({"taps": ["blocks.1:max"]}, "taps are LAYER:mean"),
        ({"model": "no_such_network"}, "no encoder"),
        ({"arguments": {"pretrained": True}}, "no encoder"),
        ({"mean": [0.5]}, "red, green and blue"),
        ({"gain": 1.5}, "from 0 to 1"),
    ],
)
def test_what_cannot_be_built_is_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        made({**CONVOLUTIONS, **change})


def test_a_copy_with_fewer_features_has_a_smaller_projection() -> None:
    detector = made(CONVOLUTIONS)
    smaller = replace(detector.architecture, features=3)
    assert EncoderDetector("x", smaller, detector.plan).network.get_parameter("projection.weight").shape[0] == 3


def test_a_network_that_enlarges_its_views_gets_fewer_of_them_in_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a pass keeps grows with the pixels that the network sees: a batch's heatmaps took half a gigabyte more."""
    passes: list[int] = []

    def note(views: torch.Tensor) -> torch.Tensor:
        passes.append(len(views))
        return normalise(views)

    monkeypatch.setattr(drawing, "normalise", note)
    monkeypatch.setattr(drawing, "_CPU_PASS_PIXELS", 8 * 64**2)
    views = torch.randint(0, 256, (1, 4, 3, 64, 64), dtype=torch.uint8)
    plain = made(CONVOLUTIONS)
    for detector in (plain, EncoderDetector("x", replace(plain.architecture, enlarge=2), plain.plan)):
        detector.network.eval()
        drawing.grad_cam(detector, views, [(64, 64)])
    assert passes == [4, 2, 2]
