"""Where a file keeps words about its picture: the bytes beside the pixels, and the texts that Pillow reads from them.

Bytes are searched besides Pillow's texts because damage, which hides a text from a reader, leaves most of its bytes.
Junk gives junk, never an exception; the work is bounded by the length of the file.
"""

import io
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from PIL import ExifTags, Image

from worker.images.decode import FORMATS

_JPEG_SOS, _JPEG_STUFFING = 0xDA, {0x00, 0x01, *range(0xD0, 0xDA)}
_PNG_MAGIC, _PNG_HEAD = b"\x89PNG\r\n\x1a\n", 8
_WEBP_PIXELS = {b"VP8 ", b"VP8L", b"ALPH", b"ANMF"}  # codespell:ignore alph
# Behind the end of a picture more words may follow.
_TAIL = 64 * 1024
_LONGEST_TEXT = 256 * 1024
_USER_COMMENT, _XP_COMMENT, _XP_KEYWORDS = 0x9286, 0x9C9C, 0x9C9E


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


@dataclass(frozen=True)
class Words:
    """What Pillow reads of a file's texts.

    Attributes:
        texts: PNG texts, comments, XMP and EXIF texts by name.
        camera: maker and model from EXIF.
        software: from EXIF or PNG text.
    """

    texts: Mapping[str, str]
    camera: str | None = None
    software: str | None = None


def read_words(data: bytes) -> Words:
    """Read a file's texts with Pillow, compressed and UTF-16 ones too; nothing is decoded, nothing is raised."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            return _words(opened)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - what readers of a dozen formats raise on damaged files has no end.
        return Words({})


def _words(opened: Image.Image) -> Words:
    texts = {str(name): _decoded(value) for name, value in opened.info.items() if isinstance(value, str | bytes)}
    texts.pop("icc_profile", None)
    texts.pop("exif", None)  # read as EXIF below
    try:
        # Not PNG's own method: it decodes the picture first, unbounded, to look for EXIF behind it.
        exif = Image.Image.getexif(opened)
        named = {
            "Software": exif.get(ExifTags.Base.Software),
            "ImageDescription": exif.get(ExifTags.Base.ImageDescription),
            "UserComment": exif.get_ifd(ExifTags.IFD.Exif).get(_USER_COMMENT),
            "XPComment": exif.get(_XP_COMMENT),
            "XPKeywords": exif.get(_XP_KEYWORDS),
        }
        camera = " ".join(
            _decoded(exif[tag]).strip("\x00 ") for tag in (ExifTags.Base.Make, ExifTags.Base.Model) if tag in exif
        )
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - Pillow's EXIF reader raises anything at all.
        named, camera = {}, ""
    texts |= {name: _decoded(value) for name, value in named.items() if isinstance(value, str | bytes)}
    return Words(texts, camera or None, texts.get("Software"))


def _decoded(value: object) -> str:
    """Return a text as one, whichever of the encodings that EXIF knows it has."""
    if isinstance(value, str):
        return value[:_LONGEST_TEXT]
    raw = bytes(value)[:_LONGEST_TEXT] if isinstance(value, bytes) else b""
    if raw.startswith(b"UNICODE\x00"):
        raw = raw[8:]
        little = raw[1::2].count(0) > raw[::2].count(0)
        return raw.decode("utf-16-le" if little else "utf-16-be", "replace")
    if raw.count(0) * 3 > len(raw):
        return raw.decode("utf-16-le", "replace")  # the XP fields
    return raw.removeprefix(b"ASCII\x00\x00\x00").decode("utf-8", "replace")
