"""One reader for all containers: every text of a file under its name, decoded.

A mark that a tool writes is found wherever a container can hold it, since all rules read what comes from here.
"""

import json
from collections.abc import Iterable, Iterator

from worker.provenance.containers import blocks
from worker.provenance.exif import read_exif
from worker.provenance.iptc import iptc_texts, photoshop_blocks
from worker.provenance.stealth import hidden_text
from worker.provenance.texts import Block, Text, decode_text
from worker.provenance.xmp import join_extensions, xmp_texts

# A JSON text of more characters is a graph, whose marks are found without taking it apart.
_LONGEST_JSON = 256 * 1024
_MOST_BLOCKS = 2000


def read_texts(data: bytes) -> list[Text]:
    """Return the texts of a file in order; junk gives junk, never an exception.

    The members of a JSON object follow it under their own names: tools write the same members as texts of their own
    where the container has names.
    """
    texts = list(_texts(blocks(data)))
    hidden = hidden_text(data)
    if hidden:
        texts.append(Text("alpha channel", "", hidden))
    return [*texts, *(member for text in texts for member in _members(text))]


def _texts(blocks: Iterable[Block]) -> Iterator[Text]:
    extensions = []
    for number, block in enumerate(blocks):
        if number >= _MOST_BLOCKS:
            break
        if block.kind == "xmp_extension":
            extensions.append(block.data)
        else:
            yield from _read(block)
    for packet in join_extensions(extensions):
        yield from xmp_texts(packet)


def _read(block: Block) -> Iterator[Text]:
    if block.kind == "text":
        yield Text(block.carrier, block.name, decode_text(block.data))
    elif block.kind == "xmp":
        yield from xmp_texts(block.data)
    elif block.kind == "iptc":
        yield from iptc_texts(block.data)
    elif block.kind == "photoshop":
        for inner in photoshop_blocks(block.data):
            yield from _read(inner)
    elif block.kind == "exif":
        texts, inner_blocks = read_exif(block.data)
        yield from texts
        for inner in inner_blocks:
            yield from _read(inner)


def _members(text: Text) -> Iterator[Text]:
    value = text.value.strip()
    if not value.startswith("{") or len(value) > _LONGEST_JSON:
        return
    try:
        members = json.loads(value)
    except (ValueError, RecursionError):
        return
    for name, member in members.items():
        if isinstance(member, str | int | float):
            yield Text(text.where, str(name), str(member), text.part)
        elif isinstance(member, dict):
            yield Text(text.where, str(name), json.dumps(member), text.part)
