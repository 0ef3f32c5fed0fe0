"""What happens to images before a detector in training sees them."""

from typing import Any, get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from training.fitting.augment import AUGMENTATIONS, AugmentationName, cut_out, light
from worker.images.views import ViewPlan, reduced_whole

PLAN = ViewPlan(32, 1, 0)


def striped_from_edge_to_edge(side: int) -> NDArray[np.uint8]:
    """Dark on the left, bright on the right: a corner of it is dark alone."""
    picture = np.zeros((side, side, 3), dtype=np.uint8)
    picture[:, side // 2 :] = 200
    return picture


def test_every_augmentation_can_be_named_in_a_recipe() -> None:
    assert set(get_args(AugmentationName)) == set(AUGMENTATIONS)


@pytest.mark.parametrize("name", ["light", "flips"])
@pytest.mark.parametrize("side", [224, 48, 20])
def test_pictures_of_another_size_are_shown_whole_as_the_detector_judges_them(
    name: AugmentationName, side: int
) -> None:
    picture = striped_from_edge_to_edge(side)
    views = AUGMENTATIONS[name](picture[None].repeat(8, axis=0), PLAN, np.random.default_rng(0))
    assert (tuple(views.shape), views.dtype) == ((8, 3, 32, 32), torch.uint8)
    whole = float(reduced_whole(Image.fromarray(picture), 32).mean())
    assert views.float().mean(dim=(1, 2, 3)).tolist() == pytest.approx([whole] * 8, abs=20.0)


def test_small_pictures_of_the_plans_size_are_shifted_and_mirrored_but_not_resampled() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8).repeat(16, axis=0)
    views = light(pixels, PLAN, np.random.default_rng(1)).permute(0, 2, 3, 1).numpy()
    middle = pixels[0, 8:24, 8:24]
    places = [(top, left) for top in range(5, 12) for left in range(5, 12)]

    def holds_the_middle(view: NDArray[Any]) -> bool:
        return any(np.array_equal(view[top : top + 16, left : left + 16], middle) for top, left in places)

    assert all(holds_the_middle(view) or holds_the_middle(view[:, ::-1]) for view in views)
    assert len({view.tobytes() for view in views}) > 8


def test_every_view_has_another_square_hidden_behind_its_mean_colour_and_no_more() -> None:
    views = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (200, 3, 32, 32), dtype=np.uint8))
    hidden = cut_out(views.clone(), 10, np.random.default_rng(1))
    means = views.float().mean(dim=(2, 3), keepdim=True).to(torch.uint8)
    changed = (hidden != views).any(dim=1)  # (N, H, W)
    shares = changed.float().sum(dim=(1, 2))
    assert float(shares.max()) <= 100.0  # of 10 x 10
    assert float(shares.min()) < 60.0  # some stick out
    assert int((shares > 0).sum()) == 200
    assert torch.equal(hidden, torch.where(changed[:, None], means, views))
    assert len({mask.numpy().tobytes() for mask in changed}) > 100
    assert bool(changed.any(dim=0).all())  # no pixel is always safe


def test_nothing_is_hidden_where_no_recipe_asks() -> None:
    views = torch.full((2, 3, 8, 8), 9, dtype=torch.uint8)
    rng = np.random.default_rng(0)
    assert torch.equal(cut_out(views.clone(), 0, rng), views)
    assert rng.integers(1000) == np.random.default_rng(0).integers(1000)  # nor is anything drawn for it


def test_a_native_view_is_the_picture_itself_mirrored_or_not() -> None:
    pictures = np.random.default_rng(5).integers(0, 256, (12, 32, 32, 3)).astype(np.uint8)
    views = AUGMENTATIONS["native"](pictures, ViewPlan(32, 0, 1), np.random.default_rng(6)).permute(0, 2, 3, 1).numpy()
    mirrored = [np.array_equal(view, picture[:, ::-1]) for view, picture in zip(views, pictures, strict=True)]
    same = [np.array_equal(view, picture) for view, picture in zip(views, pictures, strict=True)]
    assert np.logical_xor(mirrored, same).all()
    assert any(mirrored)
    assert any(same)


def test_a_halved_view_is_of_half_the_size_and_what_is_lacking_is_mirrored() -> None:
    picture = np.full((1, 32, 32, 3), 30, dtype=np.uint8)
    picture[:, :, 16:] = 220
    view = AUGMENTATIONS["halved"](picture, ViewPlan(32, 0, 1), np.random.default_rng(0))[0, 0].numpy()
    assert (np.abs(np.diff(view[0].astype(int))) > 90).sum() == 2  # both edges: the picture's, and its mirror image's


@pytest.mark.parametrize("name", ["jpeg", "webp"])
def test_a_compressed_view_differs_by_a_little(name: AugmentationName) -> None:
    ramp = np.tile(np.linspace(0, 255, 32).astype(np.uint8)[None, None, :, None], (8, 32, 1, 3))
    views = AUGMENTATIONS[name](ramp, ViewPlan(32, 0, 1), np.random.default_rng(1)).permute(0, 2, 3, 1).numpy()
    for view in views:
        kept = view if view[0, 0, 0] < view[0, -1, 0] else view[:, ::-1]
        assert 0 < np.abs(kept.astype(int) - ramp[0]).max() < 40
