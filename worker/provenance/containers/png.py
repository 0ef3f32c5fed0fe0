"""PNG: texts of every kind before and behind the pixels, EXIF, raw profiles, and what stands behind the end."""

import binascii
import struct
import zlib
from collections.abc import Iterator

from worker.provenance.containers.jpeg import TAIL
from worker.provenance.texts import LONGEST_TEXT, Block, decode_text

_HEAD = 8
# Compressed texts of one file may grow to so many bytes together.
_MOST_INFLATED = 16 * 1024 * 1024
_XMP = "XML:com.adobe.xmp"
_RAW = "Raw profile type "
_PROFILES = {"exif": "exif", "app1": "exif", "iptc": "photoshop", "8bim": "photoshop", "xmp": "xmp"}


def png_blocks(data: bytes) -> Iterator[Block]:
    """Yield the texts of a PNG in order, whatever their checksums, and the trailer."""
    left, end = _MOST_INFLATED, len(data)
    for kind, body, behind in chunks(data):
        if kind == b"IEND":
            end = behind
            break
        if kind == b"eXIf":
            yield Block("exif", body)
        elif kind in {b"tEXt", b"zTXt", b"iTXt"}:
            name, raw = _text(kind, body, min(left, LONGEST_TEXT))
            left -= len(raw)
            yield from _named(name, raw)
    if end < len(data):
        yield Block("text", data[end:][-TAIL:], "behind the picture")


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """Yield name and body of each chunk and where the next one begins; the last may be cut."""
    at = _HEAD
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        yield kind, data[at + 8 : at + 8 + length], at + 12 + length
        at += 12 + length


def _text(kind: bytes, body: bytes, most: int) -> tuple[str, bytes]:
    raw_name, _, rest = body.partition(b"\x00")
    name = decode_text(raw_name)
    if kind == b"tEXt":
        return name, rest[:most]
    if kind == b"zTXt":
        return name, _inflate(rest[1:], most)
    compressed, rest = rest[:1] == b"\x01", rest[2:]
    text = rest.split(b"\x00", 2)[-1]  # behind language and translated name
    return name, _inflate(text, most) if compressed else text[:most]


def _inflate(raw: bytes, most: int) -> bytes:
    """Return what can be had of a compressed text; empty where nothing can."""
    unpack = zlib.decompressobj()
    try:
        return unpack.decompress(raw, most) if most > 0 else b""
    except zlib.error:
        return b""


def _named(name: str, raw: bytes) -> Iterator[Block]:
    if name == _XMP:
        yield Block("xmp", raw)
    elif name.startswith(_RAW):
        yield from _raw_profile(name.removeprefix(_RAW).strip().lower(), raw)
    else:
        yield Block("text", raw, "PNG text", name)


def _raw_profile(kind: str, raw: bytes) -> Iterator[Block]:
    """Yield the block that ImageMagick and its kin write as hexadecimal digits behind a name and a length."""
    parts = raw.split(None, 2)
    if kind in _PROFILES and len(parts) == 3:  # noqa: PLR2004 (name, length, digits)
        digits = b"".join(parts[2].split())
        try:
            body = binascii.unhexlify(digits[: len(digits) // 2 * 2])
        except binascii.Error:
            return
        xmp = b"http://ns.adobe.com/xap/1.0/\x00"
        if body.startswith(xmp):  # APP1 holds either
            yield Block("xmp", body[len(xmp) :])
        else:
            yield Block(_PROFILES[kind], body.removeprefix(b"Exif\x00\x00").removeprefix(b"Photoshop 3.0\x00"))
