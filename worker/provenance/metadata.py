"""The bytes of a file beside its pixels: what is searched for traces of a manifest and for marks in damaged metadata.

Damage hides a text from a reader and leaves most of its bytes. Junk gives junk, never an exception; the work is bounded
by the length of the file.
"""

import struct
from collections.abc import Iterator

_JPEG_SOS, _JPEG_STUFFING = 0xDA, {0x00, 0x01, *range(0xD0, 0xDA)}
_PNG_MAGIC, _PNG_HEAD = b"\x89PNG\r\n\x1a\n", 8
_WEBP_PIXELS = {b"VP8 ", b"VP8L", b"ALPH", b"ANMF"}  # codespell:ignore alph
# Behind the end of a picture more words may follow.
_TAIL = 64 * 1024


def beside_pixels(data: bytes) -> bytes:
    """Return the bytes of a file that hold no compressed pixels, in order; of formats not walked here, the whole file.

    A marker or chunk that was tampered with is kept: whatever is not known to be pixels stays, of a WebP also both ends
    of what says that it is.
    """
    try:
        if data.startswith(b"\xff\xd8\xff"):
            return data[: _jpeg_scan(data)] + data[-_TAIL:]
        if data.startswith(_PNG_MAGIC):
            return b"".join(_chunks(data, _PNG_HEAD, ">I4s", 4, frozenset({b"IDAT", b"fdAT"})))
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return b"".join(_webp(data))
    except (struct.error, IndexError):
        pass
    return data


def _jpeg_scan(data: bytes) -> int:
    """Return where the first scan of a JPEG begins; raises struct.error where the segments lead nowhere."""
    at = 2
    while data[at] == 0xFF:  # noqa: PLR2004 (what every marker begins with)
        marker = data[at + 1]
        if marker == _JPEG_SOS:
            return at
        at += 2 if marker in _JPEG_STUFFING else 1 if marker == 0xFF else 2 + struct.unpack_from(">H", data, at + 2)[0]  # noqa: PLR2004
    raise struct.error("no marker where one should be")


def _chunks(data: bytes, at: int, head: str, trailer: int, pixels: frozenset[bytes]) -> Iterator[bytes]:
    """Yield the chunks of a PNG that are not pixels, and all that follows where they lead nowhere."""
    size = struct.calcsize(head)
    while at + size <= len(data):
        length, kind = struct.unpack_from(head, data, at)
        end = at + size + length + trailer
        if kind not in pixels or end > len(data):
            yield data[at:end] if end <= len(data) else data[at:]
        at = end


def _webp(data: bytes) -> Iterator[bytes]:
    at = 12
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        end = at + 8 + length + length % 2
        if kind not in _WEBP_PIXELS or end > len(data) or end - at <= 2 * _TAIL:
            yield data[at:end]
        else:
            # Readers pass over what follows the picture, whatever it is called and however long the picture claims to
            # be: four changed bytes would hide a manifest here.
            yield data[at : at + _TAIL]
            yield data[end - _TAIL : end]
        at = end
    yield data[at:]
