"""Files of a few kilobytes or megabytes that ask a decoder for minutes or hours, each by another road."""

import io
import struct
import zlib
from collections.abc import Callable, Mapping

from PIL import Image


def file_of(image: Image.Image, form: str, **options: object) -> bytes:
    """Encode an image."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    """Make a chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    """Make a grey PNG of chunks."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IEND", b"")


def many_scans(side: int, scans: int) -> bytes:
    """Make a progressive JPEG whose last scan comes again and again."""
    data = file_of(Image.new("L", (side, side), 128), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * scans + b"\xff\xd9"


def many_strips(count: int) -> bytes:
    """Make a TIFF of one pixel a strip."""
    tags = [
        (256, 1, 1), (257, 1, count), (258, 1, 8), (259, 1, 1), (262, 1, 1),
        (273, count, 200), (277, 1, 1), (278, 1, 1), (279, count, 200),
    ]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, number, value) for tag, number, value in tags)
    head = b"II*\x00" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0)
    return head.ljust(200, b"\x00") + struct.pack("<I", 1) * count


def small_frame(side: int) -> bytes:
    """Make a GIF of one pixel on a large canvas."""
    return b"GIF89a" + struct.pack("<HH", side, side) + file_of(Image.new("L", (1, 1)), "GIF")[10:]


def many_frames(count: int) -> bytes:
    """Make a GIF of very many frames."""
    data = small_frame(8)
    return data[:-1] + data[data.index(b",", 13) : -1] * count + b";"


# A tenth of what an attacker would send, to keep tests quick: it is beyond the caps all the same.
TOO_COMPLEX: Mapping[str, Callable[[], bytes]] = {
    "90 scans of 16 megapixels": lambda: many_scans(4000, 90),
    "2,000 small scans": lambda: many_scans(64, 2000),
    "strips of a pixel": lambda: many_strips(700_000),
    "padding": lambda: b"\xff\xd8" + b"\xff" * 3_000_000 + b"\xd9",
    "padding in a scan": lambda: file_of(Image.new("L", (64, 64)), "JPEG")[:-2] + b"\xff" * 3_000_000 + b"\xd9",
    "empty comments": lambda: b"\xff\xd8" + b"\xff\xfe\x00\x02" * 750_000,
    "empty chunks": lambda: png(8, 8, chunk(b"IDAT", b"") * 250_000),
    "empty texts": lambda: png(8, 8, chunk(b"tEXt", b"") * 250_000),
    "small frames": lambda: many_frames(50_000),
}
TOO_MANY_PIXELS: Mapping[str, Callable[[], bytes]] = {
    "one endless row": lambda: png(50_000_000, 1, chunk(b"IDAT", zlib.compress(b"\x00" * 50_000_001))),
    "one endless column": lambda: png(1, 50_000_000, chunk(b"IDAT", zlib.compress(b"\x00" * 100_000_000))),
    "a canvas of 50 megapixels in a few bytes": lambda: small_frame(7071),
}
# As attackers sent them.
AS_SENT: Mapping[str, Callable[[], bytes]] = {
    "2,000 scans of 49 megapixels": lambda: many_scans(7000, 2000),
    "7,000,000 strips of a pixel": lambda: many_strips(7_000_000),
    "30 MB of padding": lambda: b"\xff\xd8" + b"\xff" * 30_000_000 + b"\xd9",
    "30 MB of empty comments": lambda: b"\xff\xd8" + b"\xff\xfe\x00\x02" * 7_500_000,
    "2,500,000 empty chunks": lambda: png(8, 8, chunk(b"IDAT", b"") * 2_500_000),
    "one endless column": TOO_MANY_PIXELS["one endless column"],
    "a canvas of 50 megapixels in a few bytes": TOO_MANY_PIXELS["a canvas of 50 megapixels in a few bytes"],
}
