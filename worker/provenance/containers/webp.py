"""WebP: its EXIF and XMP chunks, unknown chunks, and what stands behind the end."""

import struct
from collections.abc import Iterator

from worker.provenance.containers.jpeg import TAIL
from worker.provenance.texts import Block

_WORDLESS = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANMF", b"ANIM", b"ICCP", b"C2PA"}  # codespell:ignore alph


def webp_blocks(data: bytes) -> Iterator[Block]:
    """Yield the chunks of a WebP that hold words, in order, and the trailer."""
    at, end = 12, 8 + struct.unpack_from("<I", data, 4)[0]
    while at + 8 <= min(end, len(data)):
        kind, length = struct.unpack_from("<4sI", data, at)
        body = data[at + 8 : at + 8 + length]
        if kind == b"EXIF":
            yield Block("exif", body.removeprefix(b"Exif\x00\x00"))
        elif kind == b"XMP ":
            yield Block("xmp", body)
        elif kind not in _WORDLESS:
            yield Block("text", body[:TAIL], "WebP chunk", kind.decode("latin-1").strip())
        at += 8 + length + length % 2
    if end < len(data):
        yield Block("text", data[end:][-TAIL:], "behind the picture")
