"""Files of too many parts are refused before anything is decoded, and pictures of many parts are not."""

import io
import struct
import zlib
from collections.abc import Callable

import pytest
from PIL import Image, ImageFile

from worker.decoders.look import look_at
from worker.errors import PermanentError, Reason
from worker.images.complexity import check_complexity, check_size
from worker.images.views import ViewPlan


def file_of(image: Image.Image, format_: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IEND", b"")


def many_scans(side: int, scans: int) -> bytes:
    data = file_of(Image.new("L", (side, side), 128), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * scans + b"\xff\xd9"


def many_strips(count: int) -> bytes:
    tags = [
        (256, 1, 1), (257, 1, count), (258, 1, 8), (259, 1, 1), (262, 1, 1),
        (273, count, 200), (277, 1, 1), (278, 1, 1), (279, count, 200),
    ]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, number, value) for tag, number, value in tags)
    head = b"II*\x00" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0)
    return head.ljust(200, b"\x00") + struct.pack("<I", 1) * count


def animated_canvas(side: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", side, side) + file_of(Image.new("L", (1, 1)), "GIF")[10:]


# Minutes or hours of work in a small file, each by another road.
BOMBS: dict[str, tuple[Callable[[], bytes], Reason]] = {
    "2,000 scans": (lambda: many_scans(7000, 2000), Reason.TOO_COMPLEX),
    "2,000 small scans": (lambda: many_scans(64, 2000), Reason.TOO_COMPLEX),
    "7 million strips": (lambda: many_strips(7_000_000), Reason.TOO_COMPLEX),
    "30 MB of padding": (lambda: b"\xff\xd8" + b"\xff" * 30_000_000 + b"\xd9", Reason.TOO_COMPLEX),
    "30 MB of padding in a scan": (
        lambda: file_of(Image.new("L", (64, 64)), "JPEG")[:-2] + b"\xff" * 30_000_000 + b"\xd9",
        Reason.TOO_COMPLEX,
    ),
    "empty comments": (lambda: b"\xff\xd8" + b"\xff\xfe\x00\x02" * 7_500_000, Reason.TOO_COMPLEX),
    "empty chunks": (lambda: png(8, 8, chunk(b"IDAT", b"") * 2_500_000), Reason.TOO_COMPLEX),
    "empty texts": (lambda: png(8, 8, chunk(b"tEXt", b"") * 2_500_000), Reason.TOO_COMPLEX),
    "one endless row": (
        lambda: png(50_000_000, 1, chunk(b"IDAT", zlib.compress(b"\x00" * 50_000_001))),
        Reason.TOO_MANY_PIXELS,
    ),
    "one endless column": (
        lambda: png(1, 50_000_000, chunk(b"IDAT", zlib.compress(b"\x00" * 100_000_000))),
        Reason.TOO_MANY_PIXELS,
    ),
    "half a million frames": (
        lambda: animated_canvas(8)[:-1] + animated_canvas(8)[animated_canvas(8).index(b",", 13) : -1] * 500_000 + b";",
        Reason.TOO_COMPLEX,
    ),
    "a canvas of 50 megapixels in a few bytes": (lambda: animated_canvas(7071), Reason.TOO_MANY_PIXELS),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_is_refused_before_any_pixel_is_decoded(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, reason = BOMBS[kind]
    data = make()
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _image: pytest.fail("decoded"))
    if reason is Reason.TOO_COMPLEX:
        monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("opened"))
    with pytest.raises(PermanentError) as refused:
        look_at(data, {"clip": ViewPlan(64, 0, 3)}, max_pixels=50_000_000)
    assert refused.value.reason is reason


@pytest.mark.parametrize(
    "data",
    [
        file_of(Image.effect_noise((640, 480), 50), "JPEG", progressive=True),
        file_of(Image.effect_noise((640, 480), 50), "JPEG", icc_profile=b"\xff" * 4_000_000),
        file_of(Image.effect_noise((640, 480), 50), "JPEG", restart_marker_rows=1),
        file_of(Image.effect_noise((64, 2000), 50), "TIFF", tiffinfo={278: 1}),
        file_of(Image.effect_noise((64, 64), 50), "WEBP"),
        png(1, 8000, *[chunk(b"IDAT", part) for part in (b"x",) * 8000]),
        file_of(Image.new("L", (64, 64)), "JPEG") + b"\xff" * 1_000_000,
        b"",
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n\x00",
        b"II*\x00\xff\xff\xff\xff",
        b"RIFF\x00\x00\x00\x00WEBPVP8 ",
        b"\x00\x00\x00\x00ftypavif",
    ],
    ids=lambda data: f"{bytes(data[:4])!r} {len(data)}",
)
def test_pictures_of_many_parts_and_damaged_ones_are_left_to_the_decoder(data: bytes) -> None:
    check_complexity(data)


@pytest.mark.parametrize(("size", "file_bytes"), [((65_535, 700), 1_000_000), ((7000, 5000), 900), ((4000, 4000), 60)])
def test_long_plain_and_small_canvases_pass(size: tuple[int, int], file_bytes: int) -> None:
    check_size(size, file_bytes)
