"""BMP with masks that Pillow does not know, such as four bits a colour: the same picture with eight. Pure."""

import struct

import numpy as np
from numpy.typing import NDArray

_BITFIELDS = {3, 6}
_START = 14
_WIDE = 40


def widen_bitfields(data: bytes, max_pixels: int) -> bytes | None:
    """Return the bitmap with 32 bits a pixel; None where it has no masks or is larger than allowed."""
    start, size = struct.unpack_from("<II", data, 10)
    width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, _START + 4)
    has_masks = size >= _WIDE and compression in _BITFIELDS and bits in {16, 32}
    if not has_masks or not 0 < width * abs(height) <= max_pixels:
        return None
    masks = _masks(data, has_alpha=compression == 6 or size > 52)  # noqa: PLR2004 (a longer header has a fourth mask)
    stride = (width * bits // 8 + 3) // 4 * 4
    body = data[start : start + stride * abs(height)]
    rows = np.frombuffer(body.ljust(stride * abs(height), b"\x00"), np.uint8).reshape(abs(height), stride)
    words = rows[:, : width * bits // 8].copy().view("<u2" if bits == 16 else "<u4").astype(np.uint32)  # noqa: PLR2004
    red, green, blue, *alpha = (_channel(words, mask) for mask in masks)
    wide = np.stack([blue, green, red, alpha[0] if alpha and masks[3] else np.full_like(red, 255)], -1)
    head = struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, 3, wide.size, 2835, 2835, 0, 0)
    head += struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + b"\x00" * 48
    return b"BM" + struct.pack("<IHHI", 122 + wide.size, 0, 0, 122) + head + wide.tobytes()


def _masks(data: bytes, *, has_alpha: bool) -> tuple[int, ...]:
    return struct.unpack_from("<4I" if has_alpha else "<3I", data, _START + _WIDE)


def _channel(words: NDArray[np.uint32], mask: int) -> NDArray[np.uint8]:
    """Return the bits under a mask, stretched to 0 to 255."""
    if mask == 0:
        return np.zeros(words.shape, np.uint8)
    lowest = (mask & -mask).bit_length() - 1
    most = mask >> lowest
    values = (words & np.uint32(mask)) >> np.uint32(lowest)
    return np.asarray(np.rint(values * (255 / most)), np.uint8)
