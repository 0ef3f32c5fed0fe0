import numpy as np
import pytest
import torch
from PIL import Image

from worker.detectors.pixels import normalise
from worker.detectors.srm import DirectionAndLength, SrmArchitecture, SrmDetector, SrmNetwork, _planes, lower_of
from worker.images.views import ViewPlan

PLANES, ORDERS, CLASSES, COMPONENTS = 3, 2, 39, 20


def network(scales: int = 1, size: int = 32) -> SrmNetwork:
    torch.manual_seed(0)
    made = SrmNetwork(SrmArchitecture(scales, COMPONENTS), size)
    made.eval()
    return made


def shares(pixels: np.ndarray, scales: int = 1) -> torch.Tensor:
    """Give the shares of one picture, (H, W, 3) uint8, as (scales, orders, planes, classes)."""
    views = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]
    found = network(scales, pixels.shape[0]).features(normalise(views)) ** 2
    return found.view(scales, ORDERS, PLANES, CLASSES)


def noise(seed: int = 0, side: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3)).astype(np.uint8)


def test_the_shares_of_every_plane_order_and_scale_sum_to_one() -> None:
    assert torch.allclose(shares(noise(), scales=3).sum(dim=-1), torch.ones(3, ORDERS, PLANES), atol=1e-5)


def test_in_a_flat_picture_all_triples_are_of_one_class() -> None:
    found = shares(np.full((32, 32, 3), 90, dtype=np.uint8))
    assert found.max(dim=-1).values.eq(1.0).all()


def test_a_ramp_rises_along_rows_and_not_down_columns() -> None:
    """Triples of first differences: as many of (1, 1, 1) as of (0, 0, 0); of second differences: none but (0, 0, 0)."""
    ramp = np.repeat(np.arange(32, dtype=np.uint8)[None, :, None], 32, axis=0).repeat(3, axis=2)
    found = shares(ramp)[0]
    brightness_first, brightness_second = found[0, 0], found[1, 0]
    assert sorted(brightness_first.tolist())[-2:] == pytest.approx([0.475, 0.525], abs=0.03)
    assert brightness_second.max() == 1.0
    assert found[0, 1:].max(dim=-1).values.eq(1.0).all()  # there is no colour in it


@pytest.mark.parametrize("change", [np.fliplr, np.flipud, np.rot90, lambda pixels: 255 - pixels])
def test_mirrored_turned_and_inverted_pictures_have_the_same_shares(change: object) -> None:
    changed = change(noise())  # type: ignore[operator]
    # What is inverted is rounded the other way in its brightness.
    torch.testing.assert_close(shares(changed), shares(noise()), atol=0.03, rtol=0.0)


def test_shares_do_not_depend_on_how_large_what_is_counted_is() -> None:
    large = noise(side=128)
    assert (shares(large[:64, :64]) - shares(large)).abs().max() < 0.02


def test_half_a_picture_twice_as_large_is_the_next_scale() -> None:
    small = noise(side=32)
    large = small.repeat(2, axis=0).repeat(2, axis=1)
    torch.testing.assert_close(shares(large, scales=2)[1], shares(small)[0])


def test_counts_are_the_same_in_mixed_precision() -> None:
    pixels = normalise(torch.from_numpy(noise()).permute(2, 0, 1)[None])
    with torch.autocast("cpu", torch.bfloat16):
        mixed = network().features(pixels)
    torch.testing.assert_close(mixed, network().features(pixels))


def test_features_are_normalised_as_the_head_does() -> None:
    made = network()
    views = normalise(torch.stack([torch.from_numpy(noise(seed)).permute(2, 0, 1) for seed in range(12)]))
    features = made.features(views)
    normal = made.normalised_by(features.numpy())
    np.testing.assert_allclose(normal.mean(axis=0), 0.0, atol=1e-3)
    against = made.head[1:](torch.from_numpy(normal))
    torch.testing.assert_close(lower_of(against), made(views), atol=1e-3, rtol=1e-3)


def test_the_logit_is_that_of_the_odds_against_photographs_and_drawings_together() -> None:
    """One AI-generated picture for two photographs and three drawings: odds of one to five."""
    against = -torch.tensor([[2.0, 3.0]]).log()
    torch.testing.assert_close(lower_of(against), -torch.tensor([5.0]).log())


def test_what_is_sure_to_be_no_drawing_is_judged_against_photographs() -> None:
    torch.testing.assert_close(lower_of(torch.tensor([[0.7, 40.0], [40.0, -0.3]])), torch.tensor([0.7, -0.3]))


@torch.no_grad()
@pytest.mark.parametrize("surely", [-40.0, 0.0, 40.0])
def test_what_all_cells_add_is_the_logit_but_for_biases_length_and_the_doubt_between_both(surely: float) -> None:
    """Surely a drawing, if not AI-generated; either; surely a photograph."""
    made = network(scales=2, size=64)
    made.get_parameter("head.1.bias").zero_()  # as where counts are normalised before their components are found
    made.get_parameter("head.3.bias")[1] += surely
    pictures = [noise(seed, side=64) // (seed % 5 + 1) for seed in range(20)]
    views = normalise(torch.stack([torch.from_numpy(picture).permute(2, 0, 1) for picture in pictures]))
    made.normalised_by(made.features(views).numpy())
    added = made.evidence(views)
    assert tuple(added.shape) == (20, 8, 8)
    components = made.head[:3](made.features(views))
    against = made.head[3](components)
    shares = (-against).softmax(dim=1)
    doubt = torch.special.entr(shares).sum(dim=1)
    if surely:
        assert doubt.max() < 1e-6
    else:
        assert 0.1 < doubt.max() <= np.log(2.0)
    of_all = components[:, -1:] * made.get_parameter("head.3.weight")[:, -1] + made.get_parameter("head.3.bias")
    expected = made(views) + doubt - (shares * of_all).sum(dim=1)
    torch.testing.assert_close(added.mean(dim=(1, 2)), expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_many_pictures_are_counted_as_each_by_itself() -> None:
    views = normalise(torch.stack([torch.from_numpy(noise(seed)).permute(2, 0, 1) for seed in range(9)]))
    found = network()
    assert torch.equal(found.features(views), torch.cat([found.features(view[None]) for view in views]))
    assert found.features(views[:0]).shape == (0, PLANES * ORDERS * CLASSES)


def ramp(step: int) -> np.ndarray:
    return np.repeat(np.arange(0, 32 * step, step, dtype=np.uint8)[None, :, None], 32, axis=0).repeat(3, axis=2)


def test_differences_are_told_apart_up_to_two() -> None:
    one, two, three = (shares(ramp(step))[0, 0, 0] for step in (1, 2, 3))
    assert torch.equal(two, three)
    assert not torch.equal(one, two)


def test_brightness_is_what_eyes_see_of_red_green_and_blue() -> None:
    pure = torch.eye(3, dtype=torch.int32).view(3, 3, 1, 1) * 255
    assert _planes(pure).flatten(1).tolist() == [[76, -76, 179], [149, -149, -149], [28, 227, -28]]


def test_a_device_that_multiplies_by_the_reciprocal_counts_the_same() -> None:
    """CUDA divides by a constant so; without rounding, a quarter of the pixels of the next scale lie half-way."""
    views = torch.from_numpy(noise(side=64)).permute(2, 0, 1)[None]
    found = network(3, 64)
    assert torch.equal(found.features(normalise(views)), found.features((views * (1 / 255) - 0.5) * 4))


@torch.no_grad()
def test_the_map_is_warmest_where_what_speaks_for_ai_lies() -> None:
    """The head minds one class alone: that of triples without any difference, which makes its only component."""
    detector = SrmDetector(SrmArchitecture(1, 1), ViewPlan(64, 0, 1))
    detector.network.eval()
    flat = np.full((64, 64, 3), 90, dtype=np.uint8)
    for name in ("head.1", "head.3"):
        linear = detector.network.get_submodule(name)
        assert isinstance(linear, torch.nn.Linear)
        linear.weight.zero_()
        linear.bias.zero_()
    detector.network.get_parameter("head.3.weight")[:, 0] = 1.0
    features = detector.network.features(normalise(torch.from_numpy(flat).permute(2, 0, 1)[None]))  # type: ignore[operator]
    detector.network.get_parameter("head.1.weight")[:, features[0] > 0] = 1.0
    picture = noise(side=64)
    picture[:32, :32] = 90
    added = detector.evidence(normalise(detector.views(Image.fromarray(picture))))[0]
    assert added[:3, :3].min() > added[5:, 5:].max()


def test_the_head_is_told_the_direction_and_the_length_of_components() -> None:
    """Twice as far in the same direction: the same direction, and a length that is larger by the logarithm of four."""
    components = torch.tensor([[3.0, -4.0, 0.0], [6.0, -8.0, 0.0]])
    near, far = DirectionAndLength()(components)
    torch.testing.assert_close(near[:3], far[:3], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(near[:3].square().mean(), torch.tensor(1.0), atol=1e-3, rtol=1e-3)
    assert (far[3] - near[3]).item() == pytest.approx(3.0 * np.log(4.0), abs=1e-2)


def test_what_does_not_differ_from_the_mean_has_no_direction_and_the_least_length() -> None:
    outputs = DirectionAndLength()(torch.stack([torch.zeros(5), torch.full((5,), 0.01), torch.ones(5)]))
    assert outputs.isfinite().all()
    assert outputs[0, :5].eq(0.0).all()
    assert outputs[0, 5] < outputs[1, 5] < outputs[2, 5]


@torch.no_grad()
def test_a_picture_that_differs_wildly_has_no_larger_logit_than_its_direction_and_the_logarithm_give() -> None:
    """Linear functions of the components alone gave a smooth drawing the largest logit of all."""
    made = network()
    made.get_parameter("head.1.bias").zero_()
    made.get_parameter("head.3.bias").zero_()
    counts = torch.rand(1, PLANES * ORDERS * CLASSES)
    near, far = made.head(counts), made.head(1000.0 * counts)
    length = made.get_parameter("head.3.weight")[:, -1]
    torch.testing.assert_close(far - near, (3.0 * np.log(1000.0**2) * length)[None], atol=0.05, rtol=0.05)


@pytest.mark.parametrize(
    ("scales", "components", "size", "words"),
    [
        (0, 5, 64, "one"),
        (4, 5, 32, "cannot be halved 3 times"),
        (1, 0, 64, "told nothing"),
        (1, 235, 64, "only 234 numbers"),
    ],
)
def test_what_leaves_nothing_to_count_is_refused(scales: int, components: int, size: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SrmNetwork(SrmArchitecture(scales, components), size)
