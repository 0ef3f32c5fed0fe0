import pytest
import torch

from worker.detectors.build import build_detector
from worker.detectors.stem import late_strides, overlapping_stem, with_residual
from worker.images.views import ViewPlan


def test_high_pass_channels_are_silent_where_nothing_changes() -> None:
    flat = torch.full((1, 3, 8, 8), 0.7)
    added = with_residual(flat, 8.0)
    assert added.shape == (1, 6, 8, 8)
    assert torch.equal(added[:, :3], flat)
    assert torch.allclose(added[:, 3:], torch.zeros(1, 3, 8, 8), atol=1e-5)


def test_high_pass_channels_show_a_single_pixel_times_the_gain() -> None:
    pixels = torch.zeros(1, 3, 5, 5)
    pixels[0, 1, 2, 2] = 9.0
    residual = with_residual(pixels, 2.0)[0, 4]
    assert residual[2, 2] == 2.0 * (9.0 - 1.0)
    assert residual[2, 3] == -2.0
    assert residual[0, 0] == 0.0


def test_the_last_convolutions_halve_the_picture() -> None:
    stem = overlapping_stem(6, [4, 8, 16], late_strides(3, 2))
    assert [conv.stride[0] for conv in stem if isinstance(conv, torch.nn.Conv2d)] == [1, 2, 2]
    assert stem(torch.zeros(2, 6, 32, 32)).shape == (2, 16, 8, 8)


def test_every_convolution_but_the_last_is_followed_by_the_activation_that_was_asked_for() -> None:
    stem = overlapping_stem(3, [4, 4, 8], [2, 1, 2], "relu")
    assert [type(layer).__name__ for layer in stem] == [*("Conv2d", "BatchNorm2d", "ReLU") * 2, "Conv2d", "BatchNorm2d"]
    assert stem(torch.zeros(1, 3, 32, 32)).shape == (1, 8, 8, 8)


@pytest.mark.parametrize(("strides", "activation", "why"), [([1], "relu", "1 strides"), ([1, 2], "tanh", "gelu, relu")])
def test_a_stem_that_does_not_fit_together_is_refused(strides: list[int], activation: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        overlapping_stem(3, [4, 8], strides, activation)
    network = {"patch_size": 1, "depths": [1, 1, 0, 0], "dims": [8, 8, 8, 8]}
    architecture = {"network": network, "stem": [4, 8], "stem_strides": strides, "stem_activation": activation}
    with pytest.raises(ValueError, match=why):
        build_detector("convnext", architecture, ViewPlan(32, 1, 0))


def test_strides_that_miss_the_towers_patches_are_refused() -> None:
    tower = {"image_size": 32, "patch_size": 8, "width": 32, "layers": 1, "heads": 2, "mlp_ratio": 2.0}
    with pytest.raises(ValueError, match="cannot halve"):
        build_detector("clip", {"tower": tower, "stem": [4, 8], "stem_strides": [2, 1, 2]}, ViewPlan(32, 1, 0))


@pytest.mark.parametrize(
    ("depths", "stage"), [([1, 1, 1, 1], 2), ([1, 3, 1, 0], 2), ([2, 1, 0, 0], 1), ([1, 0, 0, 0], 0)]
)
def test_a_heatmap_is_of_the_last_stage_but_one_that_has_blocks(depths: list[int], stage: int) -> None:
    network = {"patch_size": 1, "depths": depths, "dims": [8, 8, 8, 8]}
    detector = build_detector("convnext", {"network": network, "stem": [4, 8]}, ViewPlan(32, 1, 0))
    assert detector.heatmap_layer() is detector.network.get_submodule(f"stages.{stage}")


@pytest.mark.parametrize(("patch_size", "stem"), [(6, [4, 8]), (8, [4])])
def test_a_stem_that_cannot_reach_the_towers_patches_is_refused(patch_size: int, stem: list[int]) -> None:
    tower = {"image_size": 48, "patch_size": patch_size, "width": 32, "layers": 1, "heads": 2, "mlp_ratio": 2.0}
    with pytest.raises(ValueError, match="cannot halve"):
        build_detector("clip", {"tower": tower, "stem": stem}, ViewPlan(48, 1, 0))


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        ("clip", {"model": "ViT-B-32", "stem": [8]}),
        ("clip", {"model": "ViT-B-32", "tower": {"image_size": 32}}),
        ("convnext", {"model": "convnext_atto", "stem": [8, 16]}),
        ("convnext", {"model": "convnext_atto", "residual": 8.0}),
        ("convnext", {"model": "convnext_atto", "network": {"depths": [1, 1, 1, 1]}}),
    ],
)
def test_what_a_named_model_would_leave_out_in_silence_is_refused(name: str, architecture: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="leave out either"):
        build_detector(name, architecture, ViewPlan(32, 1, 0))


@pytest.mark.parametrize("name", ["clip", "convnext"])
def test_strides_of_no_stem_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="need a stem"):
        build_detector(name, {"stem_strides": [1, 2]}, ViewPlan(32, 1, 0))


def test_high_pass_channels_without_a_stem_are_refused_for_a_tower() -> None:
    with pytest.raises(ValueError, match="need a stem"):
        build_detector("clip", {"tower": {"image_size": 32}, "residual": 8.0}, ViewPlan(32, 1, 0))
