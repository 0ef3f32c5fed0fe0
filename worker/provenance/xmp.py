"""XMP: every property of a packet by its usual name, attributes and elements alike, entities decoded."""

from collections.abc import Iterable, Iterator
from xml.etree.ElementTree import Element, ParseError  # nosec B405

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from worker.provenance.texts import LONGEST_TEXT, Text

_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_STRUCTURE = {_RDF + name for name in ("RDF", "Description", "Bag", "Seq", "Alt", "li")}
_XML = "{http://www.w3.org/XML/1998/namespace}"
# The usual prefixes, whatever a file calls them.
_PREFIXES = {
    "http://iptc.org/std/Iptc4xmpExt/2008-02-29/": "Iptc4xmpExt",
    "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/": "Iptc4xmpCore",
    "http://ns.adobe.com/photoshop/1.0/": "photoshop",
    "http://ns.adobe.com/xap/1.0/": "xmp",
    "http://ns.adobe.com/xap/1.0/mm/": "xmpMM",
    "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#": "stEvt",
    "http://ns.adobe.com/exif/1.0/": "exif",
    "http://ns.adobe.com/tiff/1.0/": "tiff",
    "http://purl.org/dc/elements/1.1/": "dc",
    "http://www.tc260.org.cn/ns/AIGC/1.0/": "TC260",
    "http://ns.adobe.com/pdf/1.3/": "pdf",
}
_MOST_PROPERTIES = 20_000
_EXTENSION_HEAD = 40  # GUID, whole length, offset


def xmp_texts(packet: bytes) -> list[Text]:
    """Return the properties of a packet in order; empty where it is no well-formed XML.

    A property within another one, such as a step of the history, an ingredient or a region, speaks of a part.
    """
    try:
        root = fromstring(_trimmed(packet[:LONGEST_TEXT]), forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        return []
    texts: list[Text] = []
    for name, value, part in _properties(root):
        texts.append(Text("XMP", name, value, part))
        if len(texts) >= _MOST_PROPERTIES:
            break
    return texts


def join_extensions(parts: Iterable[bytes]) -> list[bytes]:
    """Return the packets that JPEG segments of extended XMP make together."""
    packets: dict[bytes, list[tuple[int, bytes]]] = {}
    for part in parts:
        if len(part) > _EXTENSION_HEAD:
            offset = int.from_bytes(part[36:40], "big")
            packets.setdefault(part[:32], []).append((offset, part[_EXTENSION_HEAD:]))
    return [b"".join(body for _, body in sorted(pieces)) for pieces in packets.values()]


def _trimmed(packet: bytes) -> bytes:
    """Cut what stands around the XML: the padding zeros of some writers, whatever follows the end."""
    if packet[:2] in {b"\xff\xfe", b"\xfe\xff"} or b"\x00" in packet[:4]:
        return packet  # UTF-16
    packet = packet.lstrip(b"\x00 \r\n\t")
    end = packet.rfind(b">")
    return packet[: end + 1]


def _properties(root: Element) -> Iterator[tuple[str, str, bool]]:
    """Yield name, value and whether it stands within another property, in the packet's order."""
    waiting: list[tuple[Element, tuple[str, ...]]] = [(root, ())]
    while waiting:
        element, path = waiting.pop()
        if element is not root:
            tag = str(element.tag)
            path = path if tag in _STRUCTURE else (*path, _name(tag))
            yield from _own_properties(element, path)
        waiting.extend((child, path) for child in reversed(element))


def _own_properties(element: Element, path: tuple[str, ...]) -> Iterator[tuple[str, str, bool]]:
    """Yield what an element's attributes and its text say; `path` names the properties that it stands in."""
    for attribute, value in element.attrib.items():
        if attribute == _RDF + "resource" and path:
            yield path[-1], value, len(path) > 1
        elif not attribute.startswith((_RDF, _XML)):
            yield _name(attribute), value, bool(path)
    text = (element.text or "").strip()
    if path and text:
        yield path[-1], text, len(path) > 1


def _name(tag: str) -> str:
    space, _, local = tag.removeprefix("{").rpartition("}")
    prefix = _PREFIXES.get(space)
    return f"{prefix}:{local}" if prefix else local
