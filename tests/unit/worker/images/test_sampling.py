"""Which frames of an animation are looked at, and which of them stands for it."""

import pytest
from PIL import Image

from tests.made_files import file_of
from tests.unusual_files import animation, grey, heic_sequence, photo
from worker.images.decode import decode
from worker.images.sampling import (
    MOST_COMPOSED_PIXELS,
    MOST_FRAMES,
    MOST_KEPT_PIXELS,
    durations_of,
    sample,
    sequence_length,
)


@pytest.mark.parametrize(
    ("durations", "numbers"),
    [
        ([100.0], [0]),
        ([20.0, 60_000.0], [1]),
        ([100.0] * 3, [0, 1, 2]),
        ([100.0] * 16, [0, 2, 4, 6, 8, 10, 12, 14]),
        ([0.0, 0.0], [0, 1]),  # browsers show a frame that asks for no time for a tenth of a second
    ],
)
def test_frames_are_spread_over_the_time_they_are_shown(durations: list[float], numbers: list[int]) -> None:
    assert sample(durations, 10_000) == numbers


def test_no_more_frames_are_composed_or_kept_than_memory_and_time_allow() -> None:
    large = MOST_KEPT_PIXELS // 2
    assert len(sample([100.0] * 50, large)) <= 2
    assert max(sample([100.0] * 50, large)) < MOST_COMPOSED_PIXELS // large
    assert sample([100.0] * 50, 2 * MOST_COMPOSED_PIXELS) == [0]
    assert len(sample([100.0] * 1000, 100)) == MOST_FRAMES


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "AVIF"])
def test_the_time_of_each_frame_is_read_from_the_file(form: str) -> None:
    data = animation(form, grey(), photo(), [40, 700])
    assert durations_of(data, form, 2) == [40.0, 700.0]


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "AVIF"])
def test_a_plain_frame_before_the_picture_does_not_hide_it(form: str) -> None:
    found = decode(animation(form, grey(), photo(), [500, 500]), max_pixels=1_000_000)
    assert (found.frame_count, [frame.number for frame in found.frames]) == (2, [0, 1])
    assert found.image.tobytes() == found.frames[1].image.tobytes()
    assert [frame.at_ms for frame in found.frames] == [0.0, 500.0]
    assert found.deciding is found.frames[1]


def test_a_frame_that_asks_for_less_than_browsers_give_is_shown_as_long_as_there() -> None:
    found = decode(animation("GIF", photo(), grey(), [10, 500]), max_pixels=1_000_000)
    assert [frame.at_ms for frame in found.frames] == [0.0, 100.0]


def test_of_a_heic_sequence_the_decoder_gives_the_first_picture_alone_and_the_file_says_how_many_there_are() -> None:
    found = decode(heic_sequence(), max_pixels=1_000_000)
    assert (found.format, found.frames, found.deciding, found.frame_count) == ("HEIF", (), None, 2)


@pytest.mark.parametrize("end", range(8, 700, 23))
def test_a_track_that_breaks_off_raises_nothing(end: int) -> None:
    data = animation("AVIF", grey(), photo(), [500, 500])
    assert sequence_length(data[:end]) in {0, 2}
    assert len(durations_of(data[:end], "AVIF", 2)) == 2


def test_frames_of_one_animation_are_pictures_of_their_own() -> None:
    colours = [Image.new("RGB", (32, 32), colour) for colour in ("red", "green", "blue")]
    data = file_of("WEBP", colours[0], save_all=True, append_images=colours[1:], duration=100, lossless=True)
    found = decode(data, max_pixels=1_000_000)
    assert [frame.image.getpixel((0, 0)) for frame in found.frames] == [(255, 0, 0), (0, 128, 0), (0, 0, 255)]


def test_a_still_picture_has_no_frames() -> None:
    assert decode(file_of("GIF", photo()), max_pixels=1_000_000).frames == ()
