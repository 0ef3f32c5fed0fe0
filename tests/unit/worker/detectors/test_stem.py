import pytest
import torch

from worker.detectors.build import build_detector
from worker.detectors.stem import overlapping_stem, with_residual
from worker.detectors.views import ViewPlan


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
    stem = overlapping_stem(6, [4, 8, 16], halvings=2)
    assert stem(torch.zeros(2, 6, 32, 32)).shape == (2, 16, 8, 8)


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


def test_high_pass_channels_without_a_stem_are_refused_for_a_tower() -> None:
    with pytest.raises(ValueError, match="need a stem"):
        build_detector("clip", {"tower": {"image_size": 32}, "residual": 8.0}, ViewPlan(32, 1, 0))
