"""Where each container keeps words about its picture: one module a container, each yields the same blocks.

A walk never raises on junk, decodes no pixels, and gives what it met before the damage.
"""

import struct
import zlib
from collections.abc import Callable, Iterator

from worker.provenance.containers.gif import gif_blocks
from worker.provenance.containers.isobmff import isobmff_blocks
from worker.provenance.containers.jpeg import jpeg_blocks
from worker.provenance.containers.png import png_blocks
from worker.provenance.containers.webp import webp_blocks
from worker.provenance.texts import Block

Walk = Callable[[bytes], Iterator[Block]]

_TIFF_MAGIC = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")


def blocks(data: bytes) -> Iterator[Block]:
    """Yield the blocks of a file beside its pixels, as far as they can be reached; nothing for unknown containers."""
    try:
        yield from walk_of(data)(data)
    except (struct.error, IndexError, ValueError, OverflowError, zlib.error):
        return


def walk_of(data: bytes) -> Walk:
    """Return the walk of the container that the bytes begin like."""
    return next((walk for begins, walk in _WALKS if begins(data)), _no_blocks)


def _tiff_blocks(data: bytes) -> Iterator[Block]:
    """Yield the file itself: EXIF is a TIFF, whose fields hold XMP and IPTC as well."""
    yield Block("exif", data)


def _no_blocks(_data: bytes) -> Iterator[Block]:
    yield from ()


_WALKS: tuple[tuple[Callable[[bytes], bool], Walk], ...] = (
    (lambda data: data.startswith(b"\xff\xd8\xff"), jpeg_blocks),
    (lambda data: data.startswith(b"\x89PNG\r\n\x1a\n"), png_blocks),
    (lambda data: data[:4] == b"RIFF" and data[8:12] == b"WEBP", webp_blocks),
    (lambda data: data[4:8] == b"ftyp", isobmff_blocks),
    (lambda data: data.startswith(b"GIF8"), gif_blocks),
    (lambda data: data.startswith(_TIFF_MAGIC), _tiff_blocks),
)
