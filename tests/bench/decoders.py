"""What decoder processes cost: the same images looked at in this process and in one of them, by turns, in pairs.

Processor time is told beside the time by the clock, for on a busy machine the latter says little.
"""

import io
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from worker.bundles.folder import read_bundle
from worker.bundles.loaded import shipped_bundle
from worker.decoders.look import look_at, read_file
from worker.freed_memory import share_freed_memory
from worker.processes.decoders import decoder_pool
from worker.provenance.c2pa_manifest import read_manifest
from worker.settings import Settings

_PAIRS = 200
# Of a phone's photograph as platforms store it, and of one as it was taken.
_SIZES = ((512, 512), (1600, 1200), (4000, 3000))


def photograph(size: tuple[int, int]) -> bytes:
    """Draw a JPEG with detail."""
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (size[1] // 4, size[0] // 4, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    small.resize(size).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def main() -> None:
    """Print a JSON line for each size: median milliseconds here, and what a decoder process adds (median of pairs)."""
    settings = Settings()
    share_freed_memory()
    plans = {name: part.plan for name, part in read_bundle(shipped_bundle(settings.bundle)).detectors.items()}
    pool = decoder_pool(settings)
    pool.start()
    pids = pool.pids()
    for size in _SIZES:
        data = photograph(size)

        def look_here(data: bytes = data) -> None:
            read_file(data, lambda found: read_manifest(found, ""))
            look_at(data, plans, max_pixels=settings.max_image_pixels)

        def look_there(data: bytes = data) -> None:
            pool.read(data)
            pool.look(data, plans)

        pairs = [(_cost(look_here, pids), _cost(look_there, pids)) for _ in range(_PAIRS)]
        figures: dict[str, object] = {"size": size, "bytes": len(data)}
        for kind, name in enumerate(("clock", "processor")):
            here = statistics.median(pair[0][kind] for pair in pairs)
            more = statistics.median(pair[1][kind] - pair[0][kind] for pair in pairs)
            figures |= {f"{name}_ms": round(here, 2), f"more_{name}_ms": round(more, 2)}
        print(json.dumps(figures), flush=True)
    pool.close()


def _cost(look: Callable[[], None], pids: Sequence[int]) -> tuple[float, float]:
    """Return milliseconds by the clock, and of all processors, decoder processes included."""
    start, before = time.perf_counter(), _processor_seconds(pids)
    look()
    return 1000 * (time.perf_counter() - start), 1000 * (_processor_seconds(pids) - before)


def _processor_seconds(pids: Sequence[int]) -> float:
    tasks = [task for pid in pids for task in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    return time.process_time() + sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


if __name__ == "__main__":
    main()
