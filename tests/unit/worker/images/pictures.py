"""Pictures in every container, and what is looked for in them once they are decoded."""

import io
import struct
import zlib
from collections.abc import Callable

import pillow_heif
import pytest
from PIL import Image

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
