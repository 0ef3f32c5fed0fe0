"""Mutated files of every format through real decoder processes: each decodes, or is rejected with a reason, in time.

python -m infra.chaos.fuzz --files 50000 [--seed 0]
"""

import argparse
import io
import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from random import Random

import pillow_heif
from PIL import Image

from infra.chaos.hostile_files import file_of
from worker.decoders.pool import DecoderPool
from worker.errors import AssayError, PermanentError, Reason
from worker.images.views import ViewPlan
from worker.processes.decoders import decoder_pool
from worker.settings import Settings

# A process that is over a file for so long is killed (`ASSAY_DECODE_TIMEOUT_SECONDS`): it hung.
_HANGS_SECONDS = 30.0
_PLANS = {"fuzz": ViewPlan(32, 1, 1)}
_WORDS = (
    b"\x00",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\x00\x00\x00",
    b"IEND",
    b"\xff\xda",
    b"\xff\xd9",
)
_MOST_CHANGES = 8
_AT_ONCE = 256


@dataclass(frozen=True)
class Outcome:
    """What became of a file.

    Attributes:
        name: `decoded`, a reason, or a defect's class.
        seconds: that it took.
    """

    name: str
    seconds: float


def seeds() -> Mapping[str, bytes]:
    """Return a small sound file of each format, and of each way to store one that decoders treat on its own."""
    noise = Random(0).randbytes(12 * 10 * 3)  # noqa: S311 - a picture, no secret
    picture = Image.frombytes("RGB", (12, 10), noise).resize((48, 40))
    moving = [picture, picture.rotate(90), picture.rotate(180)]
    animated = {"save_all": True, "append_images": moving[1:], "duration": 40}
    heic = io.BytesIO()
    pillow_heif.from_pillow(picture).save(heic, quality=60)
    return {
        "jpeg": file_of(picture, "JPEG"),
        "jpeg progressive": file_of(picture, "JPEG", progressive=True),
        "jpeg cmyk": file_of(picture.convert("CMYK"), "JPEG"),
        "mpo": file_of(picture, "MPO", save_all=True, append_images=moving[1:]),
        "png": file_of(picture, "PNG"),
        "png palette": file_of(picture.convert("P"), "PNG"),
        "apng": file_of(picture, "PNG", **animated),
        "webp": file_of(picture, "WEBP"),
        "webp lossless": file_of(picture, "WEBP", lossless=True),
        "webp animation": file_of(picture, "WEBP", **animated),
        "gif": file_of(picture, "GIF", **animated),
        "bmp": file_of(picture, "BMP"),
        "ico": file_of(picture, "ICO"),
        "tiff lzw": file_of(picture, "TIFF", compression="tiff_lzw"),
        "tiff deflate": file_of(picture, "TIFF", compression="tiff_adobe_deflate"),
        "tiff jpeg": file_of(picture, "TIFF", compression="jpeg"),
        "avif": file_of(picture, "AVIF"),
        "avif animation": blank_times(file_of(picture, "AVIF", **animated)),
        "heic": heic.getvalue(),
    }


def blank_times(data: bytes) -> bytes:
    """Blank the times of making and changing that an ISO media file states: they would differ at each making.

    Source: ISO/IEC 14496-12, 8.2.2 (mvhd), 8.3.2 (tkhd) and 8.4.2 (mdhd).
    """
    changed = bytearray(data)
    for kind in (b"mvhd", b"tkhd", b"mdhd"):
        at = changed.find(kind)
        while at >= 0:
            width = 8 if changed[at + 4] == 1 else 4
            changed[at + 8 : at + 8 + 2 * width] = bytes(2 * width)
            at = changed.find(kind, at + 4)
    return bytes(changed)


def mutate(data: bytes, random: Random) -> bytes:
    """Change a file in up to eight places, as broken uploads and attackers do."""
    changed = bytearray(data)
    for _ in range(random.randint(1, _MOST_CHANGES)):
        at, act = random.randrange(len(changed) + 1), random.randrange(6)
        if act == 0 and at < len(changed):
            changed[at] ^= 1 << random.randrange(8)
        elif act == 1:
            changed[at : at + 4] = random.choice(_WORDS)
        elif act == 2:  # noqa: PLR2004 - one act in six
            del changed[at : at + random.randint(1, 64)]
        elif act == 3:  # noqa: PLR2004
            changed[at:at] = random.randbytes(random.randint(1, 64))
        elif act == 4:  # noqa: PLR2004
            piece = changed[at : at + random.randint(1, 256)]
            changed[at:at] = piece * random.randint(1, 16)
        else:
            changed[at:] = b"" if random.random() < 0.2 else changed[at:]  # noqa: PLR2004
        if not changed:
            return b"\x00"
    return bytes(changed)


def files(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield mutated files, each format as often as any other; the same ones for a seed."""
    random, sound = Random(seed), seeds()  # noqa: S311 - files, no secrets
    names = sorted(sound)
    for number in range(count):
        name = names[number % len(names)]
        yield name, mutate(sound[name], random)


def look_at(decoders: DecoderPool, data: bytes) -> Outcome:
    """Do with a file what a worker does; return what became of it."""
    begin = time.monotonic()
    try:
        decoders.read(data)
        decoders.look(data, _PLANS)
        name = "decoded"
    except PermanentError as error:
        name = error.reason.value
    except AssayError as error:
        name = type(error).__name__
    return Outcome(name, time.monotonic() - begin)


def fuzz(decoders: DecoderPool, count: int, seed: int, threads: int = 2) -> dict[str, object]:
    """Look at so many mutated files; return the counts, and the first of those that should not be.

    Returns:
        How files ended, by format; how many crashed a process, hung, or ended without a reason.
    """
    ended: dict[str, Counter[str]] = {}
    bad: dict[str, list[int]] = {"crashes": [], "hangs": [], "without_reason": []}
    slowest, everything = 0.0, enumerate(files(count, seed))
    with ThreadPoolExecutor(threads) as pool:
        while portion := list(islice(everything, _AT_ONCE)):
            outcomes = pool.map(lambda data: look_at(decoders, data), [data for _, (_, data) in portion])
            for (number, (name, _)), outcome in zip(portion, outcomes, strict=True):
                ended.setdefault(name, Counter())[outcome.name] += 1
                slowest = max(slowest, outcome.seconds)
                for fault in faults_of(outcome):
                    bad[fault].append(number)
    counts = {name: len(numbers) for name, numbers in bad.items()}
    first = {name: numbers[:5] for name, numbers in bad.items() if numbers}
    by_format = {name: dict(counts) for name, counts in sorted(ended.items())}
    return {"files": count, "seed": seed, **counts, "slowest_s": round(slowest, 2), "first": first, "ended": by_format}


def faults_of(outcome: Outcome) -> list[str]:
    """Return what was wrong with how a file ended."""
    faults = {
        "crashes": outcome.name == Reason.CRASHES_DECODER,
        "hangs": outcome.seconds > _HANGS_SECONDS,
        "without_reason": outcome.name not in {*Reason, "decoded"},
    }
    return [name for name, is_so in faults.items() if is_so]


def peak_children_mb() -> int:
    """Return the most memory that any process had which this one has waited for."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024


def main() -> None:
    """Fuzz, print one JSON object, and exit with 1 where a file crashed a decoder, hung it or had no reason."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    terms = parser.parse_args()
    decoders = decoder_pool(Settings())
    report = fuzz(decoders, terms.files, terms.seed)
    decoders.close()
    sys.stdout.write(json.dumps({**report, "peak_mb": peak_children_mb()}) + "\n")
    sys.exit(1 if report["crashes"] or report["hangs"] or report["without_reason"] else 0)


if __name__ == "__main__":
    main()
