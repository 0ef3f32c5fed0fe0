"""Damaged files that browsers show all the same: made whole, so that the decoder takes them. Pure: bytes to bytes.

Only files that a decoder refused come here, so sound ones cost nothing. What browsers do not show is not mended.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from worker.images.bitmaps import widen_bitfields

# Chunks of a PNG that decide what is shown; whatever else a PNG holds is left out.
_PIXEL_CHUNKS = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
# How long the others must be, None where they may have any length.
_COLOUR_CHUNKS = {b"tRNS": None, b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4, b"iCCP": None, b"eXIf": None}
_ANIMATION_CHUNKS = {b"acTL": 8, b"fcTL": 26, b"fdAT": None}
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# Of each pass of Adam7: first column, first row, and the steps to the next.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_DEPTHS = {1, 2, 4, 8, 16}
# A larger colour profile is taken for a bomb; browsers give up sooner or later as well.
_LONGEST_PROFILE = 8 * 1024 * 1024
_LONGEST_COMPRESSED = 1024 * 1024
# A WebP that lacks more than this share of its bytes is not shown by browsers.
_MISSING_SHARE = 0.1
_END_OF_JPEG = b"\xff\xd9"
_DHT, _SOS = 0xC4, 0xDA
_LONGEST_BRANDS = 1024


@dataclass(frozen=True)
class MendedFile:
    """A file that was made whole.

    Attributes:
        data: the file.
        truncated: pixels are missing.
        rows: so many rows from the top are the picture's own; None where only the decoder can tell.
        share: of the bytes that are there.
        icc_profile: the colour profile, where it is larger than the decoder takes.
    """

    data: bytes
    truncated: bool = False
    rows: int | None = None
    share: float = 1.0
    icc_profile: bytes | None = None


def mend(data: bytes, max_pixels: int) -> MendedFile | None:
    """Return the file as browsers take it; None where there is nothing that could be mended.

    Args:
        data: a file that the decoder refused.
        max_pixels: most pixels, width times height, that are made whole.
    """
    mender = next((mender for begins, mender in _MENDERS if begins(data)), None)
    try:
        return mender and mender(data, max_pixels)
    except (struct.error, zlib.error, IndexError, ValueError):
        return None


def _mend_jpeg(data: bytes, _max_pixels: int) -> MendedFile:
    return MendedFile(_sealed(data) + _END_OF_JPEG, truncated=True)


def _mend_gif(data: bytes, _max_pixels: int) -> MendedFile:
    return MendedFile(data + b"\x00;", truncated=True)


def _mend_bmp(data: bytes, max_pixels: int) -> MendedFile | None:
    widened = widen_bitfields(data, max_pixels)
    return None if widened is None else MendedFile(widened)


def _mend_brand(data: bytes, _max_pixels: int) -> MendedFile | None:
    """Return an AVIF that names another brand first, such as `mif3`, under its own: the decoder looks no further."""
    (size,) = struct.unpack_from(">I", data)
    compatible = {data[at : at + 4] for at in range(16, min(size, _LONGEST_BRANDS), 4)}
    # Under `avif` the decoder would show the still of an animation, which browsers play.
    brand = b"avis" if b"avis" in compatible else b"avif"
    return MendedFile(data[:8] + brand + data[12:]) if brand in compatible and data[8:12] != brand else None


def _sealed(data: bytes) -> bytes:
    """Cut a table or a scan header that has begun and does not end: what is sound before it is shown."""
    for marker in (_DHT, _SOS):
        at = data.rfind(bytes((0xFF, marker)), max(0, len(data) - 65_536))
        if at >= 0 and at + 4 > len(data):
            return data[:at]
        if at >= 0 and at + 2 + struct.unpack_from(">H", data, at + 2)[0] > len(data):
            return data[:at]
    return data


def _mend_png(data: bytes, max_pixels: int) -> MendedFile | None:
    png = _sort_chunks(data)
    rows = _rows_of(png.header, bytes(png.pixels), max_pixels)
    if rows is None:
        return None
    whole, have = rows
    parts = [(b"IHDR", png.header), *_without_broken_animation(png.before, png.behind, whole), (b"IEND", b"")]
    mended = data[:8] + b"".join(map(_chunk, *zip(*parts, strict=True)))
    height = struct.unpack_from(">I", png.header, 4)[0]
    return MendedFile(mended, have < height, have, icc_profile=png.profile)


@dataclass
class _Png:
    """Sound chunks of a PNG, before its pixels and behind them; `profile` is one that Pillow would not take."""

    header: bytes = b""
    pixels: bytearray = field(default_factory=bytearray)
    before: list[tuple[bytes, bytes]] = field(default_factory=list)
    behind: list[tuple[bytes, bytes]] = field(default_factory=list)
    profile: bytes | None = None

    def take(self, kind: bytes, body: bytes) -> None:
        (self.behind if self.pixels else self.before).append((kind, body))

    def take_profile(self, body: bytes) -> None:
        self.profile = _large_profile(body)
        self.before += [] if self.profile or len(body) > _LONGEST_COMPRESSED else [(b"iCCP", body)]


def _sort_chunks(data: bytes) -> _Png:
    png = _Png()
    for kind, body, sound in _chunks(data):
        if kind == b"IHDR" and not png.header:
            png.header = body
        elif kind == b"IDAT":
            png.pixels += body
        elif kind == b"iCCP" and sound:
            png.take_profile(body)
        elif kind == b"PLTE" or (sound and _is_sound(kind, body)):
            png.take(kind, body)
    return png


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Yield name, body and whether the checksum holds; the last may be cut."""
    at = 8
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        checksum = data[at + 8 + length : at + 12 + length]
        yield kind, body, checksum == struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))
        at += 12 + length


def _is_sound(kind: bytes, body: bytes) -> bool:
    lengths = _COLOUR_CHUNKS | _ANIMATION_CHUNKS
    return kind in lengths and lengths[kind] in {None, len(body)}


def _large_profile(body: bytes) -> bytes | None:
    """Return a profile that is larger than Pillow takes, inflated under a limit; None for all others."""
    compressed = body.partition(b"\x00")[2][1:]
    profile = zlib.decompressobj().decompress(compressed, _LONGEST_PROFILE)
    return profile if _LONGEST_COMPRESSED < len(profile) < _LONGEST_PROFILE else None


def _rows_of(header: bytes, pixels: bytes, max_pixels: int) -> tuple[bytes, int] | None:
    """Return the pixel data made whole, compressed, and how many rows of it are the file's own.

    Of an interlaced picture, which fills in everywhere at once, rows stand for the share of its bytes.
    """
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", header)
    if colour not in _CHANNELS or depth not in _DEPTHS or not 0 < width * height <= max_pixels:
        return None
    stride = 1 + (width * depth * _CHANNELS[colour] + 7) // 8
    size = _interlaced_size(width, height, depth * _CHANNELS[colour]) if interlaced else stride * height
    unpack = zlib.decompressobj()
    raw = bytearray()
    try:
        for at in range(0, len(pixels), 65_536):
            raw += unpack.decompress(pixels[at : at + 65_536], size - len(raw) or 1)
            if len(raw) >= size:
                return pixels, height
    except zlib.error:
        pass  # what was inflated before the damage counts
    rows = len(raw) * height // size
    return zlib.compress(bytes(raw).ljust(size, b"\x00"), 1), rows


def _interlaced_size(width: int, height: int, bits: int) -> int:
    size = 0
    for left, top, right, down in _PASSES:
        columns, rows = -(-max(0, width - left) // right), -(-max(0, height - top) // down)
        size += rows * (1 + (columns * bits + 7) // 8) if columns else 0
    return size


def _without_broken_animation(
    kept: list[tuple[bytes, bytes]], behind: list[tuple[bytes, bytes]], pixels: bytes
) -> Iterator[tuple[bytes, bytes]]:
    """Yield the chunks in order; those of an animation only where there are as many as it announces."""
    frames = sum(kind == b"fcTL" for kind, _ in [*kept, *behind])
    announced = next((struct.unpack_from(">I", body)[0] for kind, body in kept if kind == b"acTL"), -1)
    for chunks, own in ((kept, [(b"IDAT", pixels)]), (behind, [])):
        yield from ((kind, body) for kind, body in chunks if kind not in _ANIMATION_CHUNKS or frames == announced)
        yield from own


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))


def _mend_webp(data: bytes, _max_pixels: int) -> MendedFile | None:
    """Fill a still WebP up with zeros where little is missing; rows whose bytes are missing are not the picture's."""
    size = 8 + struct.unpack_from("<I", data, 4)[0]
    missing = size - len(data)
    if not 0 < missing <= _MISSING_SHARE * size or b"ANMF" in data[:64]:
        return None
    return MendedFile(data + b"\x00" * missing, truncated=True, share=len(data) / size)


_MENDERS: tuple[tuple[Callable[[bytes], bool], Callable[[bytes, int], MendedFile | None]], ...] = (
    (lambda data: data.startswith(b"\xff\xd8\xff"), _mend_jpeg),
    (lambda data: data.startswith(b"\x89PNG\r\n\x1a\n"), _mend_png),
    (lambda data: data[:4] == b"RIFF" and data[8:12] == b"WEBP", _mend_webp),
    (lambda data: data.startswith(b"BM"), _mend_bmp),
    (lambda data: data.startswith(b"GIF8"), _mend_gif),
    (lambda data: data[4:8] == b"ftyp", _mend_brand),
)
