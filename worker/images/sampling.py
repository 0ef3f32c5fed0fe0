"""Which frames of an animation are looked at: up to eight, spread over the time in which they are shown. Pure."""

import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice, repeat

from worker.provenance.containers.isobmff import boxes
from worker.provenance.containers.png import chunks

MOST_FRAMES = 8
# Decoders compose frames one after the other; what is shown behind so many pixels is not looked at.
MOST_COMPOSED_PIXELS = 100_000_000
# Kept frames together hold no more pixels, but always one.
MOST_KEPT_PIXELS = 32_000_000
# What browsers show a frame for that asks for less than 20 ms.
_SHORTEST_MS, _SHORTEST_SHOWN_MS = 20, 100


def sample(durations: Sequence[float], pixels: int) -> list[int]:
    """Return the numbers of the frames to look at, in order; at least one, each once.

    Args:
        durations: how long each frame is shown, in milliseconds; frames without a duration count as 0.
        pixels: of one frame, width times height.
    """
    shown = as_shown(durations)[: max(1, MOST_COMPOSED_PIXELS // pixels)]
    most = max(1, min(MOST_FRAMES, MOST_KEPT_PIXELS // pixels))
    total, chosen, at, until = sum(shown), [], 0, shown[0]
    for step in range(most):
        moment = (step + 0.5) * total / most
        while moment > until and at + 1 < len(shown):
            at += 1
            until += shown[at]
        chosen.append(at)
    return list(dict.fromkeys(chosen))


def as_shown(durations: Sequence[float]) -> list[float]:
    """Return how long browsers show frames, in milliseconds, by how long each asks to be shown."""
    return [length if length >= _SHORTEST_MS else _SHORTEST_SHOWN_MS for length in durations]


def durations_of(data: bytes, form: str, frames: int) -> list[float]:
    """Return how long each frame of an animation is shown, in milliseconds; equal where the file does not say.

    Args:
        data: the whole file.
        form: Pillow's name of the container.
        frames: how many there are.
    """
    walk = {"GIF": _gif, "WEBP": _webp, "PNG": _png, "AVIF": _sequence}.get(form)
    durations: list[float] = []
    if walk is not None:
        with suppress(LookupError, struct.error):  # those before the damage count
            durations.extend(islice(walk(data), frames))
    return (durations + [0.0] * frames)[:frames]


def _gif(data: bytes) -> Iterator[float]:
    at = 13 + _table(data[10])
    delay = 0.0
    while data[at] in (0x21, 0x2C):
        if data[at] == 0x21:  # noqa: PLR2004 (an extension; 0xF9 controls the next frame)
            if data[at + 1] == 0xF9:  # noqa: PLR2004
                delay = 10.0 * struct.unpack_from("<H", data, at + 4)[0]
            at += 2
        else:
            yield delay
            delay = 0.0
            at += 11 + _table(data[at + 9])
        while data[at]:
            at += 1 + data[at]
        at += 1


def _table(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _webp(data: bytes) -> Iterator[float]:
    at = 12
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        if kind == b"ANMF":
            yield float(int.from_bytes(data[at + 20 : at + 23], "little"))
        at += 8 + length + length % 2


def _png(data: bytes) -> Iterator[float]:
    """Yield the durations of the shown frames; a hidden default image is none of them."""
    for kind, body, _ in chunks(data):
        if kind == b"fcTL":
            number, parts = struct.unpack_from(">HH", body, 20)
            yield 1000.0 * number / (parts or 100)


def sequence_length(data: bytes) -> int:
    """Return how many pictures the track of an AVIF or HEIC sequence holds, 0 where there is no track."""
    pictures = 0
    with suppress(LookupError, struct.error):
        for count, _ in _runs(data):
            pictures += count
    return pictures


def _sequence(data: bytes) -> Iterator[float]:
    for count, milliseconds in _runs(data):
        yield from repeat(milliseconds, count)


def _runs(data: bytes) -> Iterator[tuple[int, float]]:
    """Yield how many pictures of the track follow each other for how long each (ISO/IEC 14496-12, 8.6.1.2)."""
    for start, stop in _inside(data, 0, len(data), b"moov", b"trak", b"mdia"):
        parts = {kind: at for kind, at, _ in boxes(data, start, stop)}
        if data[parts[b"hdlr"] + 8 :][:4] != b"pict":  # transparency has a track of its own
            continue
        head = parts[b"mdhd"]
        (a_second,) = struct.unpack_from(">I", data, head + (20 if data[head] else 12))
        for at, _ in _inside(data, start, stop, b"minf", b"stbl", b"stts"):
            (runs,) = struct.unpack_from(">I", data, at + 4)
            for run in range(runs):
                count, ticks = struct.unpack_from(">II", data, at + 8 + 8 * run)
                yield count, 1000.0 * ticks / (a_second or 1)


def _inside(data: bytes, start: int, stop: int, kind: bytes, *path: bytes) -> Iterator[tuple[int, int]]:
    """Yield start and end of the body of each box that lies at a path."""
    for box, at, end in boxes(data, start, stop):
        if box == kind:
            yield from _inside(data, at, end, *path) if path else [(at, end)]
