"""IPTC IIM: the captions, credits and programs that news agencies write, alone or within Photoshop's resources."""

import struct
from collections.abc import Iterator

from worker.provenance.texts import Block, Text, decode_text

_IIM, _XMP = 0x0404, 0x0424
_RECORD_2, _MARK, _LONG = 2, 0x1C, 0x8000
_NAMES = {
    5: "ObjectName",
    25: "Keywords",
    40: "SpecialInstructions",
    65: "OriginatingProgram",
    80: "By-line",
    105: "Headline",
    110: "Credit",
    115: "Source",
    116: "CopyrightNotice",
    120: "Caption-Abstract",
    122: "Writer-Editor",
}


def iptc_texts(data: bytes) -> Iterator[Text]:
    """Yield the named fields of an IIM record."""
    at = data.find(bytes((_MARK,)))
    while at >= 0 and at + 5 <= len(data) and data[at] == _MARK:
        record, dataset, length = struct.unpack_from(">BBH", data, at + 1)
        if length & _LONG:
            return  # lengths of lengths: nothing that words need
        if record == _RECORD_2 and dataset in _NAMES:
            yield Text("IPTC", _NAMES[dataset], decode_text(data[at + 5 : at + 5 + length]))
        at += 5 + length


def photoshop_blocks(data: bytes) -> Iterator[Block]:
    """Yield IPTC and XMP out of Photoshop's image resources; bare IIM is taken as well."""
    if data[:1] == bytes((_MARK,)):
        yield Block("iptc", data)
        return
    at = 0
    while at + 8 <= len(data) and data[at : at + 4] == b"8BIM":
        (number,) = struct.unpack_from(">H", data, at + 4)
        at += 6 + (1 + data[at + 6] + 1) // 2 * 2
        if at + 4 > len(data):
            return
        (size,) = struct.unpack_from(">I", data, at)
        body = data[at + 4 : at + 4 + size]
        if number in {_IIM, _XMP}:
            yield Block("iptc" if number == _IIM else "xmp", body)
        at += 4 + size + size % 2
