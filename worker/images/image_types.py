"""Tells images from other things by their first bytes. Pure.

A cheap look, so that a wrong upload is refused at once; whether the bytes are
a whole image is found out by the worker that decodes them.
"""

from typing import NamedTuple

HEAD_BYTES = 64
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})


class ImageType(NamedTuple):
    """A type of image: its media type and the suffix its key gets."""

    media_type: str
    suffix: str


_BY_PREFIX = {
    b"\xff\xd8\xff": ImageType("image/jpeg", ".jpg"),
    b"\x89PNG\r\n\x1a\n": ImageType("image/png", ".png"),
    b"GIF87a": ImageType("image/gif", ".gif"),
    b"GIF89a": ImageType("image/gif", ".gif"),
    b"II*\x00": ImageType("image/tiff", ".tiff"),
    b"MM\x00*": ImageType("image/tiff", ".tiff"),
    b"\x00\x00\x01\x00": ImageType("image/vnd.microsoft.icon", ".ico"),
}
_WEBP = ImageType("image/webp", ".webp")
_BMP = ImageType("image/bmp", ".bmp")
_AVIF = ImageType("image/avif", ".avif")
_HEIC = ImageType("image/heic", ".heic")
TYPES = tuple(dict.fromkeys((*_BY_PREFIX.values(), _WEBP, _BMP, _AVIF, _HEIC)))


def image_type(head: bytes) -> ImageType | None:
    """Return the type of an image from its first :data:`HEAD_BYTES` bytes, or None for what is no image."""
    for prefix, kind in _BY_PREFIX.items():
        if head.startswith(prefix):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _WEBP
    if head[:2] == b"BM" and head[6:10] == bytes(4):  # Two letters prove little; the reserved field is always zero.
        return _BMP
    return _base_media_type(head) if head[4:8] == b"ftyp" else None


def why_no_image(data: bytes) -> str:
    """Say, as the end of a sentence, why bytes without an :func:`image_type` are refused."""
    if not data:
        return "the file is empty"
    types = ", ".join(one.media_type.removeprefix("image/") for one in TYPES)
    return f"the bytes are no image of a type that Assay knows: {types}"


def _base_media_type(head: bytes) -> ImageType | None:
    """Read the brands of an ISO base media file (ISO/IEC 14496-12): the major one, then the compatible ones."""
    end = min(int.from_bytes(head[:4]), len(head))
    brands = {head[at : at + 4] for at in (8, *range(16, end, 4))}
    if brands & _AVIF_BRANDS:
        return _AVIF
    return _HEIC if brands & _HEIF_BRANDS else None
