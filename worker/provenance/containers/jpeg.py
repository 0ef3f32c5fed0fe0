"""JPEG: APP segments, comments, and what stands behind the end of the picture."""

import struct
from collections.abc import Iterator

from worker.provenance.texts import Block

_SOS, _EOI, _COM, _APP0, _APP15 = 0xDA, 0xD9, 0xFE, 0xE0, 0xEF
_BARE = {0x00, 0x01, *range(0xD0, 0xDA)}  # markers without a length
_XMP, _EXTENSION = b"http://ns.adobe.com/xap/1.0/\x00", b"http://ns.adobe.com/xmp/extension/\x00"
_PHOTOSHOP = b"Photoshop 3.0\x00"
# Behind the end of the picture only so much is read.
TAIL = 64 * 1024
# What is known to hold no words: JFIF, Adobe's transform, colour profiles, other pictures, manifests.
_WORDLESS = (b"JFIF", b"JFXX", b"Adobe\x00", b"ICC_PROFILE", b"MPF\x00", b"JP", b"Ducky")


def jpeg_blocks(data: bytes) -> Iterator[Block]:
    """Yield the segments before the first scan, then the trailer; raises struct.error where they lead nowhere."""
    for marker, body in segments(data):
        if marker == _COM:
            yield Block("text", body, "JPEG comment")
        elif _APP0 <= marker <= _APP15:
            yield from _application(marker, body)
    yield from trailer(data)


def segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield marker and body of each segment before the first scan."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:  # noqa: PLR2004 (what every marker begins with)
        marker = data[at + 1]
        if marker == _SOS:
            return
        if marker in _BARE or marker == 0xFF:  # noqa: PLR2004 (padding)
            at += 1 if marker == 0xFF else 2  # noqa: PLR2004
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        yield marker, data[at + 4 : at + 2 + length]
        at += 2 + length


def trailer(data: bytes) -> Iterator[Block]:
    """Yield what stands behind the end of the picture, as far as it is among the file's last bytes."""
    tail = data[-TAIL:]
    end = tail.find(b"\xff\xd9")  # in a scan no 0xFF is followed by this
    if 0 <= end < len(tail) - 2:
        yield Block("text", tail[end + 2 :], "behind the picture")


def _application(marker: int, body: bytes) -> Iterator[Block]:
    if body.startswith(b"Exif\x00"):
        yield Block("exif", body[6:])
    elif body.startswith(_XMP):
        yield Block("xmp", body[len(_XMP) :])
    elif body.startswith(_EXTENSION):
        yield Block("xmp_extension", body[len(_EXTENSION) :])
    elif body.startswith(_PHOTOSHOP):
        yield Block("photoshop", body[len(_PHOTOSHOP) :])
    elif not body.startswith(_WORDLESS):
        yield Block("text", body, f"JPEG segment APP{marker - _APP0}")
