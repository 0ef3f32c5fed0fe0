"""ICO: the largest picture of the file, as browsers choose; it is a PNG of its own, or a bitmap."""

import struct

from worker.errors import TooManyPixelsError, UndecodableError

_MAGIC = b"\x00\x00\x01\x00"
_ENTRY = struct.Struct("<BBBBHHII")
_PNG = b"\x89PNG\r\n\x1a\n"


def best_icon(data: bytes, max_pixels: int) -> bytes:
    """Return an ICO with its largest picture alone, or that picture where it is a PNG; other files as they are.

    Raises:
        TooManyPixelsError: the picture announces more pixels than allowed, whatever the directory says.
        UndecodableError: the directory leads nowhere.
    """
    if not data.startswith(_MAGIC):
        return data
    entries = _usable_entries(data)
    if not entries:
        return data
    width, height, *rest, size, offset = max(entries, key=_pixels_and_depth)
    picture = data[offset : offset + size]
    if picture.startswith(_PNG):
        return picture
    header_size, real_width, real_height = struct.unpack_from("<Iii", picture)
    if header_size < 40:  # noqa: PLR2004 (the smallest header there is in icons)
        raise UndecodableError("the icon's picture has no header")
    if abs(real_width * real_height) // 2 > max_pixels:
        raise TooManyPixelsError(f"{real_width}x{abs(real_height) // 2} pixels, the limit is {max_pixels}")
    return _MAGIC + b"\x01\x00" + _ENTRY.pack(width, height, *rest, len(picture), 22) + picture


def _usable_entries(data: bytes) -> list[tuple[int, ...]]:
    """Return the directory's entries that lead to at least a header within the file."""
    (count,) = struct.unpack_from("<H", data.ljust(6, b"\x00"), 4)
    entries = [_ENTRY.unpack_from(data, 6 + 16 * n) for n in range(count) if len(data) >= 22 + 16 * n]
    return [entry for entry in entries if entry[7] + 40 <= len(data) and entry[6] >= 40]  # noqa: PLR2004 (a header)


def _pixels_and_depth(entry: tuple[int, ...]) -> tuple[int, int]:
    return (entry[0] or 256) * (entry[1] or 256), entry[5]
