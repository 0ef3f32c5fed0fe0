"""What evidence costs on one core: provenance, hashes, and heatmaps when one image in ten is flagged.

Everything runs in this process on one thread, as one worker thread would, with the functions that the worker calls; the
figures are the medians of many runs. Searching similar images needs a database and is measured by `near.py`.

    python tests/bench/evidence.py [--images 96] [--bundle wild]
"""

import argparse
import hashlib
import io
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from bench_images import gather
from PIL import Image

sys.path.append(str(Path(__file__).parents[2]))  # tests are installed nowhere
from tests.support.provenance import make_authority
from worker.bundles.loaded import Bundle, load_bundle, shipped_bundle
from worker.detectors.device import set_threads
from worker.detectors.heatmap import overlay_png, raw_npy
from worker.freed_memory import share_freed_memory
from worker.images.decode import decode
from worker.images.perceptual_hash import perceptual_hash
from worker.provenance.c2pa_manifest import read_manifest
from worker.provenance.reading import read_provenance

_BATCH = 16
_ONE_IN = 10
_PREVIEW = (448, 448)
_RUNS = 60
_ROUNDS = 8


def main() -> None:
    """Measure and print one JSON object; times in milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--bundle", default="wild")
    arguments = parser.parse_args()
    share_freed_memory()
    set_threads(1)
    bundle = load_bundle(shipped_bundle(arguments.bundle))
    print(json.dumps(file_costs() | heatmap_costs(bundle, list(gather(None, arguments.images).values()))))


def two_megabytes() -> bytes:
    """Make a JPEG of 2 MB, as a phone would."""
    noise = np.random.default_rng(0).integers(0, 255, (1500, 2000, 3), dtype=np.uint8)
    picture = Image.blend(Image.fromarray(noise), Image.new("RGB", (2000, 1500), "teal"), 0.45)
    qualities = range(70, 98, 2)
    best = min((_jpeg(picture, quality) for quality in qualities), key=lambda data: abs(len(data) - 2_000_000))
    assert 1_800_000 < len(best) < 2_200_000, len(best)
    return best


def file_costs() -> dict[str, float]:
    """Measure what every file goes through besides decoding and detection."""
    plain = two_megabytes()
    authority = make_authority()
    signed = authority.sign(plain)
    nobody, trusting = partial(read_manifest, anchors=""), partial(read_manifest, anchors=authority.anchor)
    preview = Image.open(io.BytesIO(plain)).convert("RGB")
    preview.thumbnail(_PREVIEW)
    costs = {
        "sha256": _cost(lambda: hashlib.sha256(plain).hexdigest()),
        "provenance": _cost(lambda: read_provenance(plain, nobody)),
        "perceptual_hash": _cost(lambda: perceptual_hash(preview)),
        "provenance_signed": _cost(lambda: read_provenance(signed, trusting)),
    }
    ours, pillow = _costs_side_by_side(
        lambda: decode(plain, max_pixels=50_000_000), lambda: Image.open(io.BytesIO(plain)).load()
    )
    costs |= {"decode": ours, "decode_by_pillow_alone": pillow, "decode_share_above": round(ours / pillow - 1, 3)}
    together = costs["sha256"] + costs["provenance"] + costs["perceptual_hash"]
    return {"jpeg_bytes": len(plain), **costs, "provenance_and_hashing": round(together, 2)}


def heatmap_costs(bundle: Bundle, images: list[bytes]) -> dict[str, float]:
    """Measure images with and without heatmaps of one in ten; batches of flagged ones are as small as they fall."""
    bundle.warm_up(_BATCH)
    bundle.heatmaps([bundle.prepare(Image.new("RGB", (256, 256), "grey"))])
    rounds = [(_pass(bundle, images, flagged=False), _pass(bundle, images, flagged=True)) for _ in range(_ROUNDS)]
    without, with_heatmaps = (min(seconds) for seconds in zip(*rounds, strict=True))
    return {
        "images_per_second": round(len(images) / without, 1),
        "images_per_second_with_heatmaps": round(len(images) / with_heatmaps, 1),
        "throughput_lost": round(1 - without / with_heatmaps, 3),
    }


def _pass(bundle: Bundle, images: list[bytes], *, flagged: bool) -> float:
    start = time.perf_counter()
    for begin in range(0, len(images), _BATCH):
        prepared, previews = [], []
        for data in images[begin : begin + _BATCH]:
            picture = decode(data, max_pixels=50_000_000).image
            read_provenance(data, partial(read_manifest, anchors=""))
            hashlib.sha256(data).hexdigest()
            prepared.append(bundle.prepare(picture))
            picture.thumbnail(_PREVIEW)
            perceptual_hash(picture)
            previews.append(picture)
        bundle.score(prepared)
        chosen = [place for place in range(len(prepared)) if (begin + place) % _ONE_IN == 0] if flagged else []
        for maps, place in zip(bundle.heatmaps([prepared[place] for place in chosen]), chosen, strict=True):
            for heatmap in maps.values():
                overlay_png(previews[place], heatmap, 0.97)
                raw_npy(heatmap)
    return time.perf_counter() - start


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _costs_side_by_side(one: Callable[[], object], other: Callable[[], object]) -> tuple[float, float]:
    """Return the least time of two calls in milliseconds, taken in turns so that a busy machine weighs on both."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(_RUNS):
        for call, taken in zip((one, other), times, strict=True):
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
    return round(1000 * min(times[0]), 2), round(1000 * min(times[1]), 2)


def _cost(call: Callable[[], object]) -> float:
    """Return the median time of a call in milliseconds."""
    call()
    times = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return round(1000 * median(times), 2)


if __name__ == "__main__":
    main()
