"""NovelAI's stealth texts: a text in the lowest bit of each pixel's alpha, column by column from the top left.

The signature of 15 characters, a length of 32 bits, then the text, compressed where the signature says so. Whether it
is there shows in the first column alone, which is read without decoding the picture.
"""

import gzip
import io
import struct
import zlib
from collections.abc import Iterable
from contextlib import suppress
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worker.provenance.containers.png import chunks

_PLAIN, _COMPRESSED = b"stealth_pnginfo", b"stealth_pngcomp"
_SIGNATURE_BITS = 8 * len(_PLAIN)
_LENGTH_BITS = 32
_LONGEST = 1024 * 1024
_RGBA, _DEPTH = 6, 8
_CHANNELS = 4
# Larger pictures are not what generators make; their texts are left unread.
_MOST_PIXELS = 16_000_000
_FROM_LEFT = (0, 1)  # filters that see nothing above the first pixel of a row
_HALF_ABOVE = 3


def hidden_text(data: bytes) -> str | None:
    """Return the text that a PNG or a lossless WebP hides in its alpha channel; None where there is none."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        bits = _first_column(data)
        if bits is None or np.packbits(bits[:_SIGNATURE_BITS]).tobytes() not in {_PLAIN, _COMPRESSED}:
            return None
    elif not (data[:4] == b"RIFF" and data[12:16] in {b"VP8L", b"VP8X"} and b"VP8L" in data[12:4096]):
        return None
    return _read(data)


def _first_column(data: bytes) -> NDArray[np.uint8] | None:
    """Return the lowest alpha bits of the first pixels of as many rows as the signature needs; None without them.

    The first pixel of a row depends on nothing but the one above it, so no row is unfiltered whole.
    """
    bodies = {kind: body for kind, body, _ in islice(chunks(data), 1)}
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", bodies.get(b"IHDR", b"").ljust(13))
    plain = (depth, colour, interlaced) == (_DEPTH, _RGBA, 0)
    if not plain or height < _SIGNATURE_BITS or width * height > _MOST_PIXELS:
        return None
    needed = _SIGNATURE_BITS * (1 + width * _CHANNELS)
    pixels = _inflated((body for kind, body, _ in chunks(data) if kind == b"IDAT"), needed)
    if len(pixels) < needed:
        return None
    rows = np.frombuffer(pixels, np.uint8).reshape(_SIGNATURE_BITS, -1)
    return _unfiltered(rows[:, 0], rows[:, _CHANNELS]) & np.uint8(1)


def _inflated(parts: Iterable[bytes], needed: int) -> bytes:
    unpack, pixels = zlib.decompressobj(), bytearray()
    with suppress(zlib.error):
        for part in parts:
            pixels += unpack.decompress(part, needed - len(pixels))
            if len(pixels) >= needed:
                break
    return bytes(pixels)


def _unfiltered(filters: NDArray[np.uint8], values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    above, column = 0, []
    for kind, value in zip(filters.tolist(), values.tolist(), strict=True):
        ahead = 0 if kind in _FROM_LEFT else above // 2 if kind == _HALF_ABOVE else above
        above = (value + ahead) & 0xFF
        column.append(above)
    return np.array(column, np.uint8)


def _read(data: bytes) -> str | None:
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "WEBP")) as opened:
            if opened.mode != "RGBA" or opened.width * opened.height > _MOST_PIXELS:
                return None
            alpha = np.asarray(opened.getchannel("A"))
        bits = (alpha & 1).T.ravel()
        packed = np.packbits(bits[: _SIGNATURE_BITS + _LENGTH_BITS + 8 * _LONGEST]).tobytes()
        signature, (length,) = packed[: len(_PLAIN)], struct.unpack_from(">I", packed, len(_PLAIN))
        body = packed[len(_PLAIN) + 4 :][: length // 8]
        if signature == _COMPRESSED:
            with gzip.open(io.BytesIO(body)) as unpacked:
                return unpacked.read(_LONGEST).decode("utf-8", "replace")
        return body.decode("utf-8", "replace") if signature == _PLAIN else None
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - what readers raise on damaged files has no end.
        return None
