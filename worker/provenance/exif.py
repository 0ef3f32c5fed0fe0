"""EXIF: the fields that hold words, whichever of the encodings EXIF knows they have. Pillow walks the directories."""

from collections.abc import Iterator, Mapping
from typing import Any

from PIL import ExifTags, Image

from worker.provenance.texts import Block, Text, decode_text

_FIELDS = {
    0x010D: "DocumentName",
    0x010E: "ImageDescription",
    0x010F: "Make",
    0x0110: "Model",
    0x0131: "Software",
    0x013B: "Artist",
    0x013C: "HostComputer",
    0x8298: "Copyright",
    0x9C9B: "XPTitle",
    0x9C9C: "XPComment",
    0x9C9D: "XPAuthor",
    0x9C9E: "XPKeywords",
    0x9C9F: "XPSubject",
}
_DETAILS = {0x9286: "UserComment", 0x927C: "MakerNote", 0x9213: "ImageHistory", 0xA430: "CameraOwnerName"}
# Other blocks that a TIFF keeps in fields.
_BLOCKS = {0x02BC: "xmp", 0x83BB: "iptc", 0x8649: "photoshop"}
_ENCODINGS = {b"ASCII\x00\x00\x00": "utf-8", b"UNICODE\x00": "", b"JIS\x00\x00\x00\x00\x00": "shift_jis"}
_CHARSET = 8  # bytes before a comment


def read_exif(data: bytes) -> tuple[list[Text], list[Block]]:
    """Return the texts of an EXIF block, or of a TIFF file, and the other blocks in it; nothing where it is damaged."""
    try:
        exif = Image.Exif()
        exif.load(data)
        return list(_texts(exif)), list(_blocks(exif))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - Pillow's EXIF reader raises anything at all.
        return [], []


def _texts(exif: Image.Exif) -> Iterator[Text]:
    yield from _named(exif, _FIELDS)
    yield from _named(exif.get_ifd(ExifTags.IFD.Exif), _DETAILS)


def _named(fields: Mapping[int, Any], names: Mapping[int, str]) -> Iterator[Text]:
    for tag, name in names.items():
        value = fields.get(tag)
        if isinstance(value, str | bytes) and value:
            yield Text("EXIF", name, _decoded(value, xp=name.startswith("XP")).strip("\x00 "))


def _decoded(value: str | bytes, *, xp: bool) -> str:
    if isinstance(value, str):
        try:
            # Pillow reads ASCII fields as Latin-1; most writers of more than ASCII mean UTF-8.
            return value.encode("latin-1").decode("utf-8")
        except UnicodeError:
            return value
    if xp:
        return value.decode("utf-16-le", "replace")
    encoding = _ENCODINGS.get(value[:_CHARSET])
    body = value[_CHARSET:] if encoding is not None or not value[:_CHARSET].strip(b"\x00") else value
    if encoding == "":
        little = body[1:512:2].count(0) > body[:512:2].count(0)
        return body.decode("utf-16-le" if little else "utf-16-be", "replace")
    return body.decode(encoding, "replace") if encoding else decode_text(body)


def _blocks(exif: Image.Exif) -> Iterator[Block]:
    for tag, kind in _BLOCKS.items():
        value = exif.get(tag)
        if isinstance(value, str):
            value = value.encode("latin-1", "replace")
        if isinstance(value, bytes):
            yield Block(kind, value)
