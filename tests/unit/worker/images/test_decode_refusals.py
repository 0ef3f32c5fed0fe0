"""What is no picture, a bomb or broken is refused with the right reason, and nothing else ever comes out."""

import struct
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from tests.unit.worker.images.pictures import (
    CONTAINERS,
    UPRIGHT,
    corners,
    decoded,
    file_of,
    four_corners,
    fuzz,
    heic,
    noise,
    png,
)
from worker.errors import PermanentError, TooManyPixelsError, UndecodableError, UnsupportedTypeError
from worker.images.decode import decode


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
