import numpy as np
import pytest
from PIL import Image, ImageFilter

from worker.images.crop_boxes import CROP_POSITIONS
from worker.images.views import (
    ViewPlan,
    coverage,
    cut_views,
    native_crop,
    quality_covariates,
    reduced_whole,
    view_boxes,
)


def ramp(width: int, height: int) -> Image.Image:
    down, across = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([across % 256, down % 256, (across + down) % 256], axis=2).astype(np.uint8))


def test_native_crops_are_untouched_pixels_at_the_boxes_named() -> None:
    image, plan = ramp(300, 200), ViewPlan(64, 0, 5)
    pixels = np.asarray(image)
    for view, (left, top, right, bottom) in zip(cut_views(image, plan), view_boxes(image.size, plan), strict=True):
        assert np.array_equal(pixels[top:bottom, left:right], view.transpose(1, 2, 0))


def test_the_first_native_crop_is_the_centre() -> None:
    assert view_boxes((300, 200), ViewPlan(64, 0, 1)) == [(118, 68, 182, 132)]


def test_what_an_image_lacks_is_its_mirror_image() -> None:
    crop = native_crop(ramp(3, 2), 6, 0.5, 0.5)
    assert crop[0, :, 0].tolist() == [0, 1, 2, 2, 1, 0]
    assert crop[:, 0, 1].tolist() == [0, 1, 1, 0, 0, 1]


def test_a_whole_of_the_right_size_passes_unchanged() -> None:
    assert np.array_equal(np.asarray(ramp(32, 32)), reduced_whole(ramp(32, 32), 32))


def test_the_whole_comes_before_the_crops() -> None:
    image = ramp(90, 70)
    views = cut_views(image, ViewPlan(32, 1, 1))
    assert np.array_equal(views[:1], cut_views(image, ViewPlan(32, 1, 0)))
    assert np.array_equal(views[1:], cut_views(image, ViewPlan(32, 0, 1)))


def test_a_plan_of_crops_alone_does_not_pay_for_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(image: Image.Image, size: int) -> None:
        pytest.fail(f"reduced {image.size} to {size}")

    monkeypatch.setattr("worker.images.views.reduced_whole", refused)
    assert cut_views(Image.new("RGB", (64, 64)), ViewPlan(size=8, wholes=0, crops=2)).shape == (2, 3, 8, 8)


def test_mirrored_views_come_last_and_name_the_boxes_they_were_cut_from() -> None:
    image, plan = ramp(90, 70), ViewPlan(32, 1, 2, mirrored=True)
    plain = cut_views(image, ViewPlan(32, 1, 2))
    assert np.array_equal(cut_views(image, plan), np.concatenate([plain, plain[..., ::-1]]))
    assert view_boxes(image.size, plan) == 2 * view_boxes(image.size, ViewPlan(32, 1, 2))
    assert plan.count == 6


def test_a_plan_without_mirrors_is_written_as_before_there_were_any() -> None:
    assert ViewPlan(32, 1, 2).to_json() == {"size": 32, "wholes": 1, "crops": 2}
    mirrored = ViewPlan(32, 1, 2, mirrored=True)
    assert ViewPlan(**mirrored.to_json()) == mirrored


@pytest.mark.parametrize(("size", "wholes", "crops"), [(0, 1, 0), (32, 0, 0), (32, 2, 0), (32, 0, 6), (32, 1, -1)])
def test_impossible_plans_are_refused(size: int, wholes: int, crops: int) -> None:
    with pytest.raises(ValueError, match="view"):
        ViewPlan(size, wholes, crops)


def test_sharpness_tells_noise_from_a_plain_surface() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8))
    blurred = noise.filter(ImageFilter.GaussianBlur(2))
    assert quality_covariates(noise)[0] > quality_covariates(blurred)[0] > quality_covariates(ramp(100, 100))[0]


def test_blockiness_sees_the_jpeg_grid_at_any_offset() -> None:
    blocks = np.kron(np.random.default_rng(0).integers(0, 256, (20, 20)), np.ones((8, 8))).astype(np.uint8)
    image = Image.fromarray(blocks).convert("RGB")
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (160, 160, 3), dtype=np.uint8))
    for offset in range(4):
        assert quality_covariates(image.crop((offset, 0, 140 + offset, 140)))[1] > quality_covariates(noise)[1] + 1.0


@pytest.mark.parametrize("size", [(1, 1), (30_000, 1), (1, 500), (9, 9), (400, 12)])
def test_quality_is_finite_for_any_size(size: tuple[int, int]) -> None:
    assert np.isfinite(quality_covariates(Image.new("RGB", size, (90, 80, 70)))).all()


@pytest.mark.parametrize(
    ("size", "plan", "expected"),
    [
        ((64, 64), ViewPlan(64, 0, 5), 1.0),
        ((20, 500), ViewPlan(64, 0, 1), 1.0),
        ((1, 1), ViewPlan(64, 1, 5), 1.0),
        ((900, 900), ViewPlan(64, 1, 0), 1.0),
        ((900, 900), ViewPlan(64, 0, 5), 5.0),
        ((900, 900), ViewPlan(64, 0, 3, mirrored=True), 3.0),
        ((900, 64), ViewPlan(64, 0, 5), 3.0),  # the corners lie upon each other
        ((74, 64), ViewPlan(64, 0, 5), 70 / 64),  # from 2 to 8 pixels in
    ],
)
def test_coverage_counts_what_crops_share_once(size: tuple[int, int], plan: ViewPlan, expected: float) -> None:
    assert coverage(size, plan) == pytest.approx(expected)


@pytest.mark.parametrize("size", [(70, 300), (130, 97), (200, 200)])
def test_coverage_is_the_share_of_pixels_in_any_crop(size: tuple[int, int]) -> None:
    plan = ViewPlan(64, 0, len(CROP_POSITIONS))
    covered = np.zeros(size[::-1], dtype=bool)
    for left, top, right, bottom in view_boxes(size, plan):
        covered[top:bottom, left:right] = True
    assert coverage(size, plan) == pytest.approx(covered.sum() / 64**2)
