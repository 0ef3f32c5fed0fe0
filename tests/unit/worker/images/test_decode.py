"""Whatever the container: upright RGB comes out."""

import struct
import subprocess
import sys

import pytest
from PIL import Image, ImageOps

from tests.unit.worker.images.pictures import (
    BLACK,
    CONTAINERS,
    MAX_PIXELS,
    RED,
    UPRIGHT,
    WHITE,
    colour_at,
    corners,
    decoded,
    file_of,
    four_corners,
    fuzz,
    heic,
    png,
)
from worker.images.decode import decode


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_format_comes_out_upright_and_rgb(container: str) -> None:
    found = decode(CONTAINERS[container](), max_pixels=MAX_PIXELS)
    assert found.format == container
    assert (found.image.mode, found.image.size) == ("RGB", (64, 64))
    assert four_corners(found.image) == UPRIGHT


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("container", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_orientation_is_turned_upright(container: str, orientation: int) -> None:
    undo = {2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}
    as_stored = corners().resize((96, 64))
    if orientation in undo:
        turning = Image.Exif()
        turning[0x0112] = undo[orientation]
        as_stored.info["exif"] = turning.tobytes()
        as_stored.getexif()[0x0112] = undo[orientation]
        as_stored = ImageOps.exif_transpose(as_stored)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = decoded(file_of(as_stored, container, exif=exif))
    assert (image.size, four_corners(image)) == ((96, 64), UPRIGHT)


@pytest.mark.parametrize("container", ["HEIF", "AVIF"])
def test_pictures_of_phones_are_turned_once_not_twice(container: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = corners().resize((96, 64)).transpose(Image.Transpose.ROTATE_90)
    data = heic(stored, exif=exif.tobytes()) if container == "HEIF" else file_of(stored, "AVIF", exif=exif)
    image = decoded(data)
    assert (image.size, four_corners(image)) == ((96, 64), UPRIGHT)


@fuzz
@pytest.mark.parametrize("container", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("damage", [b"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03", b"no EXIF at all"])
def test_damaged_exif_leaves_the_picture_as_it_lies(container: str, damage: bytes) -> None:
    image = decoded(file_of(corners(), container, exif=b"Exif\x00\x00" + damage))
    assert four_corners(image) == UPRIGHT


def test_cmyk_photographs_keep_their_colours_with_and_without_adobe_s_marker() -> None:
    # Everybody who writes CMYK writes it inverted, as Adobe does; readers assume so where the marker was stripped.
    data = file_of(corners().convert("CMYK"), "JPEG", quality=95)
    marker = data.index(b"Adobe") - 4
    length = struct.unpack(">H", data[marker + 2 : marker + 4])[0]
    stripped = data[:marker] + data[marker + 2 + length :]
    assert [four_corners(decoded(data)), four_corners(decoded(stripped))] == [UPRIGHT, UPRIGHT]


def test_sixteen_bit_greys_keep_their_steps() -> None:
    rows = b"".join(b"\x00" + struct.pack(">4H", 0, 0x4000, 0x8000, 0xFFFF) for _ in range(2))
    image = decoded(png(4, 2, 16, 0, rows))
    assert [colour_at(image, x, 0)[0] for x in range(4)] == [0, 64, 128, 255]


@pytest.mark.parametrize(("mode", "order"), [("I;16", "<"), ("I;16B", ">")])
def test_sixteen_bit_grey_tiffs_keep_their_steps(mode: str, order: str) -> None:
    image = Image.frombytes(mode, (4, 1), struct.pack(order + "4H", 0, 0x4000, 0x8000, 0xFFFF))
    assert [colour_at(decoded(file_of(image, "TIFF")), x, 0)[0] for x in range(4)] == [0, 64, 128, 255]


def test_sixteen_bit_colours_keep_their_steps() -> None:
    row = b"\x00" + struct.pack(">6H", 0xFFFF, 0, 0, 0, 0x8000, 0xFFFF)
    image = decoded(png(2, 1, 16, 2, row))
    assert [colour_at(image, x, 0) for x in range(2)] == [RED, (0, 128, 255)]


def test_what_is_transparent_shows_white_whatever_hides_underneath() -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([*RED, *BLACK])
    palette.putpixel((1, 0), 1)
    layered = Image.new("RGBA", (2, 1), (*RED, 255))
    layered.putpixel((1, 0), (*BLACK, 0))
    grey = Image.new("LA", (2, 1), (76, 255))
    grey.putpixel((1, 0), (0, 0))
    images = [
        decoded(file_of(palette, "PNG", transparency=1)),
        decoded(file_of(palette, "GIF", transparency=1)),
        decoded(file_of(layered, "PNG")),
        decoded(file_of(layered, "WEBP", lossless=True)),
        decoded(file_of(grey, "PNG")),
    ]
    assert [colour_at(image, 1, 0) for image in images] == [WHITE] * 5
    assert [colour_at(image, 0, 0) for image in images] == [RED] * 4 + [(76, 76, 76)]


def test_two_colours_are_black_and_white() -> None:
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    assert [colour_at(decoded(file_of(image, "PNG")), x, 0) for x in range(2)] == [BLACK, WHITE]


@pytest.mark.parametrize("container", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_counts(container: str) -> None:
    later = [Image.new("RGB", (64, 64), BLACK), Image.new("RGB", (64, 64), WHITE)]
    image = decoded(file_of(corners(), container, save_all=True, append_images=later))
    assert four_corners(image) == UPRIGHT


@pytest.mark.parametrize("size", [(1, 1), (30_000, 1), (1, 30_000)])
def test_strange_sizes_are_sizes(size: tuple[int, int]) -> None:
    assert decoded(file_of(Image.new("RGB", size), "PNG")).size == size


def test_a_zip_behind_a_photograph_changes_nothing() -> None:
    data = file_of(corners(), "JPEG")
    assert decoded(data + b"PK\x03\x04" + b"\x00" * 200).tobytes() == decoded(data).tobytes()


# Eight threads, one after the other, decode 100 MB of pixels each, drop them and stay.
TURNS = """
import io, resource, threading
from PIL import Image
from worker.freed_memory import share_freed_memory
from worker.images.decode import decode

share_freed_memory()
buffer = io.BytesIO()
Image.new("L", (5000, 5000)).save(buffer, "PNG")
turn, stay = threading.Lock(), threading.Barrier(8)

def run():
    with turn:
        decode(buffer.getvalue(), max_pixels=25_000_000)
    stay.wait()

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
threads = [threading.Thread(target=run) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc keeps freed memory for each thread")
def test_threads_that_decode_in_turn_use_the_memory_of_one() -> None:
    printed = subprocess.run([sys.executable, "-c", TURNS], capture_output=True, check=True).stdout
    assert int(printed) < 400
