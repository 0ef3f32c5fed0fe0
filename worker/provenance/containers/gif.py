"""GIF: comments, plain texts, the XMP extension, and what stands behind the end."""

from collections.abc import Iterator

from worker.provenance.containers.jpeg import TAIL
from worker.provenance.texts import Block

_EXTENSION, _IMAGE, _END = 0x21, 0x2C, 0x3B
_COMMENT, _PLAIN, _APPLICATION = 0xFE, 0x01, 0xFF
_XMP = b"XMP DataXMP"
# The XMP extension stands in a GIF as it is, with what leads readers that know nothing of it to its end.
_XMP_END = b"\x01\xff\xfe\xfd"


def gif_blocks(data: bytes) -> Iterator[Block]:
    """Yield the words of a GIF in order; raises IndexError where it breaks off."""
    at = 13 + _table(data[10])
    while at < len(data):
        kind = data[at]
        if kind == _EXTENSION:
            label, start = data[at + 1], at + 2
            at = _behind(data, start)
            yield from _extension(label, data, start, at)
        elif kind == _IMAGE:
            at = _behind(data, at + 11 + _table(data[at + 9]))
        else:
            if kind == _END and at + 1 < len(data):
                yield Block("text", data[at + 1 :][-TAIL:], "behind the picture")
            return


def _table(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _behind(data: bytes, at: int) -> int:
    """Return where the sub-blocks that begin here end."""
    while data[at]:
        at += 1 + data[at]
    return at + 1


def _extension(label: int, data: bytes, start: int, end: int) -> Iterator[Block]:
    if label == _APPLICATION and data[start + 1 : start + 12] == _XMP:
        body = data[start + 12 : end]
        yield Block("xmp", body[: body.find(_XMP_END)] if _XMP_END in body else body)
    elif label in {_COMMENT, _PLAIN}:
        at = start + (1 + data[start] if label == _PLAIN else 0)
        yield Block("text", _joined(data, at), "GIF comment" if label == _COMMENT else "GIF plain text")


def _joined(data: bytes, at: int) -> bytes:
    parts = []
    while data[at]:
        parts.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    return b"".join(parts)
