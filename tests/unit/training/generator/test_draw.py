"""Our own small generator: same seed, same picture; different seeds, different pictures."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.generator import draw as generator
from training.generator.draw import generate

# A picture of one colour has no spread; the flattest photograph of a fog still has more than this, in 0..255.
LEAST_SPREAD = 8.0
# The weights travel in the repository, so they stay small.
MOST_BYTES = 1_500_000


@pytest.fixture(scope="module")
def drawn() -> dict[int, Image.Image]:
    """Two pictures of 64 x 64 by their seeds."""
    return {seed: generate(seed, 64) for seed in (3, 4)}


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take two steps a level, the fewest there can be, where only the size of a picture counts."""
    monkeypatch.setattr(generator, "STEPS", (2,) * len(generator.STEPS))


def test_the_same_seed_draws_the_same_picture(drawn: dict[int, Image.Image]) -> None:
    """Determinism is what lets the demo and the tests name a picture by its seed."""
    assert generate(3, 64).tobytes() == drawn[3].tobytes()


def test_different_seeds_draw_different_pictures(drawn: dict[int, Image.Image]) -> None:
    """Two seeds differ in many pixels, not in a few."""
    first, second = (np.asarray(picture, dtype=np.float32) for picture in drawn.values())
    assert float(np.abs(first - second).mean()) > LEAST_SPREAD


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("size", [32, 64, 100, 256, 400])
def test_a_picture_has_the_size_asked_for(size: int) -> None:
    """Sizes between the levels are reached by resampling."""
    picture = generate(1, size)
    assert (picture.mode, picture.size) == ("RGB", (size, size))


def test_a_size_below_the_coarsest_level_is_refused() -> None:
    """The network cannot draw less than a whole coarse picture."""
    with pytest.raises(ValueError, match="at least 32"):
        generate(1, 31)


def test_a_picture_is_not_flat(drawn: dict[int, Image.Image]) -> None:
    """A network without its weights would draw one grey."""
    assert min(float(np.asarray(picture, dtype=np.float32).std()) for picture in drawn.values()) > LEAST_SPREAD


@pytest.mark.usefixtures("hasty")
def test_the_command_writes_one_file_for_each_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are named by their seeds."""
    monkeypatch.setattr(sys, "argv", ["generator", "--count", "2", "--first-seed", "7", "--out", str(tmp_path)])
    generator.main()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["000007.png", "000008.png"]
    with Image.open(tmp_path / "000007.png") as picture:
        assert picture.size == (256, 256)


def test_the_weights_are_small_enough_for_the_repository() -> None:
    """Larger weights would belong to a release, not to the repository."""
    assert generator.WEIGHTS.stat().st_size <= MOST_BYTES
