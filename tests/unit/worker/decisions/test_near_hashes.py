"""Bands and probes find every hash within reach, and one look at a content is enough."""

import io
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from worker.decisions.near_hashes import HASH_BITS, MOST_DISTANCE, OneLook, bands_of, probes_of
from worker.images.perceptual_hash import perceptual_hash

hashes = st.integers(0, 2**HASH_BITS - 1).map(lambda number: f"{number:0{HASH_BITS}b}")


@given(hashes, st.sets(st.integers(0, HASH_BITS - 1), max_size=MOST_DISTANCE))
def test_every_hash_within_reach_shares_a_band_with_the_probes(bits: str, flipped: set[int]) -> None:
    other = "".join(str(1 - int(bit)) if place in flipped else bit for place, bit in enumerate(bits))
    assert set(probes_of(bits)) & set(bands_of(other))


@given(hashes)
def test_bands_hold_the_whole_hash_and_fit_an_integer_column(bits: str) -> None:
    bands = bands_of(bits)
    assert "".join(f"{band & 0xFFFF:016b}" for band in bands) == bits
    assert [band >> 16 for band in bands] == list(range(16))
    assert len(set(probes_of(bits))) == 16 * 17
    assert max(probes_of(bits)) < 2**31


def photograph(seed: int, size: tuple[int, int] = (900, 600)) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 255, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def distance(one: Image.Image, other: Image.Image) -> int:
    first, second = perceptual_hash(one), perceptual_hash(other)
    assert first is not None
    assert second is not None
    return sum(a != b for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("seed", range(4))
def test_a_copy_saved_again_or_reduced_is_near_and_another_picture_is_far(seed: int) -> None:
    picture = photograph(seed)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=40)
    again = Image.open(buffer).convert("RGB")
    assert distance(picture, again) <= 10
    assert distance(picture, picture.resize((300, 200))) <= 10
    assert distance(picture, photograph(seed + 100)) > 60


@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (2000, 1), (300, 200)])
def test_a_plain_picture_of_any_shape_has_no_hash(size: tuple[int, int]) -> None:
    assert perceptual_hash(Image.new("RGB", size, "teal")) is None


def test_one_content_is_looked_at_by_one_thread_at_a_time_and_nothing_is_left_behind() -> None:
    one_look, inside, most = OneLook(), 0, 0

    def look(content: int) -> None:
        nonlocal inside, most
        with one_look.at(content):
            inside += 1
            most = max(most, inside)
            inside -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(look, [7] * 500))
    assert most == 1
    assert not one_look._locks
    assert not one_look._users


def test_other_contents_do_not_wait_and_an_error_lets_the_next_one_in() -> None:
    one_look, held, free = OneLook(), threading.Event(), threading.Event()

    def hold() -> None:
        with one_look.at("a"):
            held.set()
            assert free.wait(30)
            raise ZeroDivisionError

    with ThreadPoolExecutor(2) as pool:
        holding = pool.submit(hold)
        assert held.wait(30)
        with one_look.at("b"):
            free.set()
        with one_look.at("a"):
            pass
        assert isinstance(holding.exception(), ZeroDivisionError)
