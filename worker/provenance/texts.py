"""One text of a file as the reader of containers gives it: where it stood, under which name, and what it says."""

from dataclasses import dataclass

# A text is cut behind so many characters; ComfyUI's largest workflows are below.
LONGEST_TEXT = 4 * 1024 * 1024


@dataclass(frozen=True)
class Text:
    """A decoded text of a file.

    Attributes:
        carrier: what holds it, for people: `PNG text`, `EXIF`, `XMP`, `IPTC`, `GIF comment` and so on.
        name: the field's name as its standard spells it, such as `UserComment`; empty where the carrier has no names.
        value: the text, entities and encodings decoded.
        part: it speaks of a part of the picture or of its history, not of the picture as it is.
    """

    carrier: str
    name: str
    value: str
    part: bool = False

    @property
    def where(self) -> str:
        """Return the place in the file, such as `XMP` or `PNG text parameters`."""
        if self.carrier == "PNG text":
            return f'PNG text "{self.name}"'
        return f"{self.carrier} {self.name}".strip()


@dataclass(frozen=True)
class Block:
    """Bytes that a container holds beside its pixels.

    Attributes:
        kind: `exif`, `xmp`, `xmp_extension`, `iptc`, `photoshop` or `text`: how they are read.
        data: the bytes, decompressed.
        carrier: of a `text`, what holds it, for people.
        name: of a `text`, the name it stands under.
    """

    kind: str
    data: bytes
    carrier: str = ""
    name: str = ""


def decode_text(raw: bytes) -> str:
    """Return bytes as text: UTF-16 where a mark or every other zero says so, else UTF-8, else Latin-1."""
    raw = raw[:LONGEST_TEXT]
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16", "replace")
    if raw[:512].count(0) * 3 > len(raw[:512]) > 1:
        little = raw[1:512:2].count(0) >= raw[:512:2].count(0)
        return raw.decode("utf-16-le" if little else "utf-16-be", "replace")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
