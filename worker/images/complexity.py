"""Caps before decoding: how many parts a file may have, for each costs time before a pixel is seen.

A few hundred kilobytes can ask for hours of work: thousands of scans over the same pixels, millions of empty chunks.
Only headers are walked here, no further than the caps. What is damaged is left to the decoder, which says so.
"""

import re
import struct

from worker.errors import TooComplexError, TooManyPixelsError

# Photographs have one to a dozen scans, at the most some sixty.
_MOST_SCANS = 100
# Each scan goes over the pixels of its components once more.
_MOST_SCANNED_PIXELS = 1_250_000_000
# Each holds up to 64 KB: an ICC profile or XMP of megabytes takes some hundred.
_MOST_SEGMENTS = 2_000
_MOST_FILL_BYTES = 64 * 1024
# Encoders put 8 KB or more into each; some put a row of pixels.
_MOST_CHUNKS = 50_000
_MOST_STRIPS = 100_000
_MOST_TAG_VALUES = 1_000_000
_MOST_BOXES = 5_000
_MOST_FRAMES = 10_000
# A frame's pixels come in blocks of up to 255 bytes.
_MOST_BLOCKS = 250_000
# JPEG's own bound; a picture of one row and fifty million columns is none.
_LONGEST_SIDE = 65_535
# A blank page of fax at 600 dpi has 40,000 pixels in each byte; what is small costs little however few its bytes.
_MOST_PIXELS_PER_BYTE = 100_000
_SMALL_CANVAS = 16_000_000

_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_EOI, _SOS = 0xD9, 0xDA
_ALONE = {0xD8, 0xD9, 0x01}  # markers without a length
_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_PNG = b"\x89PNG\r\n\x1a\n"
_EXTENSION, _FRAME = 0x21, 0x2C  # of GIF
_STRIPS, _TILES = 273, 324
# Where the first directory's place stands, how it, a count of entries and an entry are packed, and an entry's bytes.
_CLASSIC_TIFF = (4, "I", "H", "HHI", 12)
_BIG_TIFF = (8, "Q", "Q", "HHQ", 20)
_BYTE_TYPES = {1, 2, 6, 7}  # of TIFF: their values stay bytes


def check_size(size: tuple[int, int], file_bytes: int) -> None:
    """Refuse a canvas that no picture has.

    Args:
        size: width and height in pixels, as the header announces them.
        file_bytes: length of the file.

    Raises:
        TooManyPixelsError: a side is too long, or far more pixels are announced than the file can hold.
    """
    width, height = size
    if max(size) > _LONGEST_SIDE:
        raise TooManyPixelsError(f"{width}x{height} pixels, the longest side allowed is {_LONGEST_SIDE}")
    if width * height > max(_SMALL_CANVAS, _MOST_PIXELS_PER_BYTE * file_bytes):
        raise TooManyPixelsError(f"{width}x{height} pixels in a file of {file_bytes} bytes")


def check_complexity(data: bytes) -> None:
    """Refuse a file of too many parts; never raises anything else on junk.

    Raises:
        TooComplexError: the file has more scans, segments, chunks, strips or boxes than pictures have.
    """
    try:
        if data.startswith(b"\xff\xd8\xff"):
            _check_jpeg(data)
        elif data.startswith(_PNG):
            _check_png(data)
        elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            _check_webp(data)
        elif data.startswith(b"GIF8"):
            _check_gif(data)
        elif data[:4] in {b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"}:
            _check_tiff(data)
        elif data[4:8] == b"ftyp":
            _check_boxes(data)
    except (struct.error, IndexError, OverflowError):  # places of 64 bits may lie beyond what Python can index
        return


def _check_jpeg(data: bytes) -> None:
    at, segments, fill, scans, pixels = 2, 0, 0, 0, 0
    while (marker := _MARKER.search(data, at, len(data) if scans else at + _MOST_FILL_BYTES + 2)) is not None:
        # Between segments nothing should stand, and in the pixels of a scan no 0xFF after another.
        fill += data.count(b"\xff\xff", at, marker.start()) if scans else marker.start() - at
        kind, at = data[marker.start() + 1], marker.end()
        segments += 1
        _check_segments(segments, fill)
        if kind == _EOI and scans:
            return
        if kind in _ALONE:
            continue
        if kind in _FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 3)
            pixels = max(pixels, width * height)
        scans += kind == _SOS
        if scans > _MOST_SCANS or scans * pixels > _MOST_SCANNED_PIXELS:
            raise TooComplexError(f"{scans} scans or more over {pixels} pixels")
        at += struct.unpack_from(">H", data, at)[0]
    _check_fill(data, at, fill)


def _check_segments(segments: int, fill: int) -> None:
    if fill > _MOST_FILL_BYTES or segments > _MOST_SEGMENTS:
        raise TooComplexError(f"more than {_MOST_SEGMENTS} segments, or {_MOST_FILL_BYTES} bytes between them")


def _check_fill(data: bytes, at: int, fill: int) -> None:
    """Refuse what is no more than fill to the end of the file."""
    if fill + data.count(b"\xff\xff", at) > _MOST_FILL_BYTES:
        raise TooComplexError(f"more than {_MOST_FILL_BYTES} bytes of fill")


def _check_png(data: bytes) -> None:
    at = len(_PNG)
    for _ in range(_MOST_CHUNKS):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"IEND":
            return
        at += 12 + length
    raise TooComplexError(f"more than {_MOST_CHUNKS} chunks")


def _check_webp(data: bytes) -> None:
    at = 12
    for _ in range(_MOST_CHUNKS):
        (length,) = struct.unpack_from("<I", data, at + 4)
        at += 8 + length + length % 2
    raise TooComplexError(f"more than {_MOST_CHUNKS} chunks")


def _check_gif(data: bytes) -> None:
    at, frames, blocks = 13 + _colours(data[10]), 0, 0
    while data[at] in {_EXTENSION, _FRAME}:
        frames += data[at] == _FRAME
        at += 2 if data[at] == _EXTENSION else 11 + _colours(data[at + 9])
        while data[at]:
            at += 1 + data[at]
            blocks += 1
            if blocks > _MOST_BLOCKS:
                raise TooComplexError(f"more than {_MOST_BLOCKS} blocks")
        at += 1
        blocks += 1
        if frames > _MOST_FRAMES or blocks > _MOST_BLOCKS:
            raise TooComplexError(f"more than {_MOST_FRAMES} frames or {_MOST_BLOCKS} blocks")


def _colours(flags: int) -> int:
    """Return the length of a table of colours."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _check_tiff(data: bytes) -> None:
    """Look at the first directory alone: others are not decoded."""
    order = "<" if data[:1] == b"I" else ">"
    place, offset, count, entry, size = _BIG_TIFF if b"+" in data[:4] else _CLASSIC_TIFF
    (at,) = struct.unpack_from(order + offset, data, place)
    (entries,) = struct.unpack_from(order + count, data, at)
    at += struct.calcsize(order + count)
    for _ in range(min(entries, _MOST_CHUNKS)):
        _check_tag(*struct.unpack_from(order + entry, data, at))
        at += size


def _check_tag(tag: int, kind: int, count: int) -> None:
    if tag in {_STRIPS, _TILES} and count > _MOST_STRIPS:
        raise TooComplexError(f"{count} strips or tiles, at most {_MOST_STRIPS} are decoded")
    if kind not in _BYTE_TYPES and count > _MOST_TAG_VALUES:
        raise TooComplexError(f"{count} values of tag {tag}, at most {_MOST_TAG_VALUES} are read")


def _check_boxes(data: bytes) -> None:
    at = 0
    for _ in range(_MOST_BOXES):
        (length,) = struct.unpack_from(">I", data, at)
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, at + 8)
        if length == 0:
            return  # to the end of the file
        at += max(length, 8)
    raise TooComplexError(f"more than {_MOST_BOXES} boxes")
