"""Whatever the bytes are: upright RGB comes out, or the image is rejected with the right reason."""

import io
import struct
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable

import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps, PngImagePlugin

from worker.errors import PermanentError, TooManyPixelsError, UndecodableError, UnsupportedTypeError
from worker.images.decode import decode

MAX_PIXELS = 1_000_000
# Pillow warns of what it finds odd in a file; here such a file is the point.
fuzz = pytest.mark.filterwarnings("ignore")
RED, GREEN, BLUE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def corners(side: int = 32) -> Image.Image:
    """Red and green above, blue and yellow below: any turn or flip shows."""
    image = Image.new("RGB", (2 * side, 2 * side))
    for colour, at in ((RED, (0, 0)), (GREEN, (side, 0)), (BLUE, (0, side)), (YELLOW, (side, side))):
        image.paste(Image.new("RGB", (side, side), colour), at)
    return image


def noise(side: int = 48) -> Image.Image:
    return Image.effect_noise((side, side), 80).convert("RGB")


def file_of(image: Image.Image, container: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, container, **options)
    return buffer.getvalue()


def heic(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(image).save(buffer, quality=90, **options)
    return buffer.getvalue()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *more: bytes) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    body = png_chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + body + png_chunk(b"IEND", b"")


def decoded(data: bytes) -> Image.Image:
    image = decode(data, max_pixels=MAX_PIXELS).image
    assert image.mode == "RGB"
    return image


def colour_at(image: Image.Image, x: int, y: int) -> tuple[int, ...]:
    pixel = image.getpixel((x, y))
    assert isinstance(pixel, tuple)
    return tuple(int(channel) for channel in pixel)


def looks(image: Image.Image, x: int, y: int, colour: tuple[int, ...], tolerance: int = 40) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(colour_at(image, x, y), colour, strict=True))


def four_corners(image: Image.Image) -> list[str]:
    names = {"red": RED, "green": GREEN, "blue": BLUE, "yellow": YELLOW}
    width, height = image.size
    places = [(width // 4, height // 4), (3 * width // 4, height // 4)]
    places += [(width // 4, 3 * height // 4), (3 * width // 4, 3 * height // 4)]
    return [next((name for name, colour in names.items() if looks(image, *at, colour, 60)), "none") for at in places]


UPRIGHT = ["red", "green", "blue", "yellow"]

CONTAINERS: dict[str, Callable[[], bytes]] = {
    "JPEG": lambda: file_of(corners(), "JPEG"),
    "PNG": lambda: file_of(corners(), "PNG"),
    "WEBP": lambda: file_of(corners(), "WEBP"),
    "GIF": lambda: file_of(corners(), "GIF"),
    "BMP": lambda: file_of(corners(), "BMP"),
    "TIFF": lambda: file_of(corners(), "TIFF", compression="tiff_lzw"),
    "AVIF": lambda: file_of(corners(), "AVIF"),
    "HEIF": lambda: heic(corners()),
    "MPO": lambda: file_of(corners(), "MPO", save_all=True, append_images=[noise(64)]),
}


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


def test_the_limit_of_pixels_is_inclusive() -> None:
    data = file_of(Image.new("RGB", (10, 10)), "PNG")
    assert decode(data, max_pixels=100).image.size == (10, 10)
    with pytest.raises(TooManyPixelsError, match="10x10 pixels, the limit is 99"):
        decode(data, max_pixels=99)


def _webp_header(side: int) -> bytes:
    chunk = b"VP8X" + struct.pack("<I", 10) + b"\x02\x00\x00\x00" + struct.pack("<I", side - 1)[:3] * 2
    chunk += b"ANIM" + struct.pack("<IIH", 6, 0, 0)
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def _tiff_header(side: int) -> bytes:
    tags = {256: side, 257: side, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: side, 279: side * side % 2**32}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\x00" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0)


BOMBS: dict[str, Callable[[], bytes]] = {
    "png": lambda: png(100_000, 100_000, 8, 2, b""),
    "bmp": lambda: b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0),
    "gif": lambda: b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + file_of(Image.new("L", (1, 1)), "GIF")[10:],
    "jpeg": lambda: file_of(corners(), "JPEG").replace(b"\x08\x00\x40\x00\x40\x03", b"\x08\xff\xdc\xff\xdc\x03"),
    "tiff": lambda: _tiff_header(100_000),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_is_refused_by_its_header_and_nothing_is_allocated(kind: str) -> None:
    data = BOMBS[kind]()
    tracemalloc.start()
    with pytest.raises(TooManyPixelsError):
        decode(data, max_pixels=50_000_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000 + len(data)


def test_a_webp_that_only_announces_size_is_refused() -> None:
    with pytest.raises(PermanentError):
        decode(_webp_header(16_000), max_pixels=50_000_000)


def test_a_picture_with_a_bomb_of_compressed_text_is_decoded_without_it() -> None:
    info = PngImagePlugin.PngInfo()
    for number in range(3):
        info.add_text(f"t{number}", "x" * 5_000_000, zip=True)
    assert four_corners(decoded(file_of(corners(), "PNG", pnginfo=info))) == UPRIGHT


@pytest.mark.parametrize(
    "data",
    [
        b"<!DOCTYPE html><html><body>404</body></html>",
        b"%PDF-1.7\n%\xe2\xe3\xcf\xd3",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
        b"PK\x03\x04" + b"\x00" * 64,
        b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41" + b"\x00" * 64,
        b"P6\n2 2\n255\n" + b"\x00" * 12,
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"RIFF\x00\x00\x00\x00WAVEfmt ",
        b"a",
        b"\x00" * 64,
    ],
    ids=["html", "pdf", "eps", "zip", "mp4", "ppm", "svg", "wave", "one byte", "zeros"],
)
def test_what_is_no_picture_that_people_upload_is_of_an_unsupported_type(data: bytes) -> None:
    with pytest.raises(UnsupportedTypeError):
        decoded(data)


def test_an_empty_object_says_so() -> None:
    with pytest.raises(UndecodableError, match="the object is empty"):
        decoded(b"")


def test_floating_point_pixels_are_unsupported_rather_than_guessed() -> None:
    with pytest.raises(UnsupportedTypeError, match="floating-point"):
        decoded(file_of(Image.new("F", (8, 8), 0.5), "TIFF"))


@pytest.mark.parametrize(
    "magic", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\x00", b"RIFF\x04\x00\x00\x00WEBP"]
)
def test_the_beginning_of_a_picture_alone_is_undecodable(magic: bytes) -> None:
    with pytest.raises(UndecodableError):
        decoded(magic)


@pytest.mark.parametrize(
    ("container", "share"),
    [(container, share) for container in ("JPEG", "PNG", "WEBP", "HEIF", "AVIF") for share in (0.02, 0.1, 0.25, 0.45)]
    + [(container, share) for container in ("WEBP", "HEIF", "AVIF") for share in (0.75, 0.85)],
)
def test_a_truncated_picture_is_undecodable(container: str, share: float) -> None:
    data = heic(noise()) if container == "HEIF" else file_of(noise(), container)
    with pytest.raises(UndecodableError):
        decoded(data[: max(12, int(share * len(data)))])


def _survives(data: bytes) -> None:
    try:
        decoded(data)
    except PermanentError:
        return


SMALL = {container: make() for container, make in CONTAINERS.items()}
few = settings(max_examples=40)


@fuzz
@few
@given(container=st.sampled_from(sorted(SMALL)), share=st.floats(0, 1))
def test_cut_anywhere_a_picture_decodes_or_is_rejected(container: str, share: float) -> None:
    _survives(SMALL[container][: int(share * len(SMALL[container]))])


@fuzz
@settings(few, max_examples=120)
@given(
    container=st.sampled_from(sorted(SMALL)),
    damage=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=4)), min_size=1, max_size=6),
)
def test_damaged_anywhere_a_picture_decodes_or_is_rejected(container: str, damage: list[tuple[float, bytes]]) -> None:
    data = bytearray(SMALL[container])
    for share, patch in damage:
        at = int(share * (len(data) - len(patch)))
        data[at : at + len(patch)] = patch
    _survives(bytes(data))


@fuzz
@few
@given(container=st.sampled_from(sorted(SMALL)), keep=st.integers(4, 40), junk=st.binary(max_size=200))
def test_junk_behind_a_good_beginning_is_rejected_or_decodes(container: str, keep: int, junk: bytes) -> None:
    _survives(SMALL[container][:keep] + junk)


# Eight threads, one after the other, decode 100 MB of pixels each, drop them and stay.
TURNS = """
import io, resource, threading
from PIL import Image
from worker.images.decode import decode, share_freed_memory

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
    said = subprocess.run([sys.executable, "-c", TURNS], capture_output=True, check=True).stdout
    assert int(said) < 400
