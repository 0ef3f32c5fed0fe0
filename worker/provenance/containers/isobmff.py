"""AVIF and HEIC: the items of the `meta` box that hold EXIF, XMP and other words (ISO/IEC 14496-12, 23008-12)."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from worker.provenance.texts import Block

_XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_XMP_TYPES = {b"application/rdf+xml"}
_MOST_ITEMS = 4096
_IN_IDAT = 1


@dataclass
class _Items:
    """What the `meta` box says of items: type and MIME type, and where their bytes lie."""

    kinds: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    extents: dict[int, list[tuple[int, int, int]]] = field(default_factory=dict)  # method, offset, length
    idat: bytes = b""


def isobmff_blocks(data: bytes) -> Iterator[Block]:
    """Yield the words of an AVIF or HEIC file; those of items first, then those in `uuid` boxes."""
    items = _Items()
    for kind, start, end in boxes(data, 0, len(data)):
        if kind == b"meta":
            _read_meta(data, start + 4, end, items)
        elif kind == b"uuid" and data[start : start + 16] == _XMP_UUID:
            yield Block("xmp", data[start + 16 : end])
    for number, (kind, mime) in items.kinds.items():
        body = b"".join(_extents(data, items, number))
        if kind == b"Exif":
            (skip,) = struct.unpack_from(">I", body)
            yield Block("exif", body[4 + skip :].removeprefix(b"Exif\x00\x00"))
        elif mime in _XMP_TYPES:
            yield Block("xmp", body)
        elif kind == b"mime":
            yield Block("text", body, "item", mime.decode("latin-1"))


def boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, start and end of the body of each box between two places; the last may be cut."""
    end = min(end, len(data))
    while at + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        stop = end if size == 0 else at + size
        if stop < at + head:
            return
        yield kind, at + head, min(stop, end)
        at = stop


def _read_meta(data: bytes, start: int, end: int, items: _Items) -> None:
    for kind, at, stop in boxes(data, start, end):
        if kind == b"iinf":
            version = data[at]
            for entry, first, last in boxes(data, at + (6 if version == 0 else 8), stop):
                if entry == b"infe" and len(items.kinds) < _MOST_ITEMS:
                    _read_entry(data[first:last], items)
        elif kind == b"iloc":
            _read_locations(data[at:stop], items)
        elif kind == b"idat":
            items.idat = data[at:stop]


def _read_entry(body: bytes, items: _Items) -> None:
    version = body[0]
    if version < 2:  # noqa: PLR2004 (older entries have no types)
        return
    width = 2 if version == 2 else 4  # noqa: PLR2004
    number, at = int.from_bytes(body[4 : 4 + width], "big"), 4 + width
    kind = body[at + 2 : at + 6]
    names = body[at + 6 :].split(b"\x00")
    items.kinds[number] = (kind, names[1] if kind == b"mime" and len(names) > 1 else b"")


class _Numbers:
    """Reads big-endian numbers of any width one after the other."""

    def __init__(self, body: bytes, at: int) -> None:
        self._body, self._at = body, at

    def take(self, width: int) -> int:
        end = self._at + width
        if end > len(self._body):
            raise IndexError
        number = int.from_bytes(self._body[self._at : end], "big")
        self._at = end
        return number


def _read_locations(body: bytes, items: _Items) -> None:
    version, widths = body[0], struct.unpack_from(">H", body, 4)[0]
    offset_width, length_width, base_width = widths >> 12, widths >> 8 & 15, widths >> 4 & 15
    index_width = widths & 15 if version else 0
    numbers = _Numbers(body, 6)
    wide = 4 if version == 2 else 2  # noqa: PLR2004
    for _ in range(min(numbers.take(wide), _MOST_ITEMS)):
        number = numbers.take(wide)
        method = numbers.take(2) & 15 if version else 0
        numbers.take(2)  # data reference: other files are not read
        base = numbers.take(base_width)
        extents = []
        for _ in range(min(numbers.take(2), _MOST_ITEMS)):
            numbers.take(index_width)
            offset = base + numbers.take(offset_width)
            extents.append((method, offset, numbers.take(length_width)))
        items.extents[number] = extents


def _extents(data: bytes, items: _Items, number: int) -> Iterator[bytes]:
    for method, offset, length in items.extents.get(number, []):
        source = items.idat if method == _IN_IDAT else data
        yield source[offset : offset + length] if length else source[offset:]
