"""What `assay capacity` predicts beside what is measured, with one, two and four workers on this machine's cores.

The figures of one worker come from the same run: its speed under a burst, and what an image alone takes. All other
points are predictions from these and from the seconds at which images really came. Workers share the cores here, and
one worker uses all of them, so more workers bring no more images a second.

    python tests/bench/capacity.py [--images 60] [--workers 1,2,4] [--share 0.6]
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from bench_images import gather
from sqlalchemy import text

from infra.capacity import judge, measure, percentiles
from infra.capacity_terms import Fleet

sys.path.append(str(Path(__file__).parents[2]))  # tests are installed nowhere
from tests.support.assay_up import AssayUp, process_environment, wait_until

# When an image came and ended, how long the device had it, and how many leases on it were lost.
Row = tuple[float, float, float, int]
_LONGEST_SECONDS = 900.0
_START_SECONDS = 600.0
_PUTTING_THREADS = 4
_ALONE = 8
_WARM = 16
# Seconds on the device include waiting for company.
_ROWS = text(
    "SELECT extract(epoch FROM image.created_at), extract(epoch FROM scan.finished_at), "
    "coalesce((scan.timings ->> 'detect')::float, 0) / 1000, scan.lease_expiries "
    "FROM scan JOIN image ON image.id = image_pk WHERE image.key LIKE :prefix ORDER BY image.created_at"
)
_WORKERS = text("SELECT count(*) FROM worker WHERE cardinality(bundles) > 0")


def main() -> None:
    """Measure one worker, then each point; print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=60, help="a point")
    parser.add_argument("--workers", default="1,2,4", help="how many, a comma between; rising")
    parser.add_argument("--share", type=float, default=0.6, help="steady rate as a share of what one worker judges")
    terms, load = parser.parse_args(), round(os.getloadavg()[0], 1)
    counts = [int(count) for count in terms.workers.split(",")]
    needed = _ALONE + terms.images + len(counts) * (_WARM + 2 * terms.images) + _WARM
    with tempfile.TemporaryDirectory(prefix="assay-bench-", dir="/var/tmp") as scratch, ExitStack() as running:
        Path(scratch).chmod(0o711)
        images = iter(gather(None, needed).values())
        tell("starting")
        assay = running.enter_context(AssayUp(Path(scratch) / "assay", ASSAY_BUNDLE="wild"))
        put(assay, "warm", some(images, _WARM))
        fleet = calibrate(assay, images, terms.images)
        points = []
        for count in counts:
            for number in range(workers_here(assay), count):
                running.enter_context(extra_worker(assay, number + 1))
            wait_workers(assay, count)
            put(assay, f"warm{count}", some(images, _WARM))
            tell(f"{count} workers")
            every = 1 / (fleet.images_a_second * terms.share)
            points += [
                point(assay, replace(fleet, workers=count), "steady", some(images, terms.images), every),
                point(assay, replace(fleet, workers=count), "burst", some(images, terms.images), 0.0),
            ]
    one = {name: round(getattr(fleet, name), 3) for name in ("images_a_second", "fixed_seconds", "aside_seconds")}
    report = {"cores": os.cpu_count(), "load_before": load, "images": terms.images}
    print(json.dumps({**report, "one_worker": one, "points": points}))


def calibrate(assay: AssayUp, images: Iterator[bytes], count: int) -> Fleet:
    """Return one worker's figures: by images that come one at a time, and by a burst."""
    tell("an image at a time")
    alone = []
    for number in range(_ALONE):
        alone += put(assay, f"alone{number}", some(images, 1))
    tell("a burst for one worker")
    burst = put(assay, "calibrate", some(images, count))
    arrival, end = min(row[0] for row in burst), max(row[1] for row in burst)
    whole = median(ended - came for came, ended, _, _ in alone)
    return fitted(Fleet(1, 1.0, at_full_speed=1), (end - arrival) / count, median(row[2] for row in alone), whole)


def fitted(fleet: Fleet, burst_each: float, device: float, whole: float) -> Fleet:
    """Return a fleet with the figures of a worker.

    Args:
        fleet: whose batches are meant.
        burst_each: seconds an image takes of a burst.
        device: seconds from coming to the device to its result, of an image alone.
        whole: seconds from being known to being judged, of an image alone.
    """
    single = max(device - fleet.wait_seconds, 0.0)
    # A batch takes fixed + each * images, and a full one takes its images times `burst_each`.
    fixed = max(0.0, (single - burst_each) * fleet.max_batch / (fleet.max_batch - 1))
    fixed = min(fixed, 0.9 * burst_each * fleet.max_batch)
    shaped = replace(fleet, images_a_second=1 / burst_each, fixed_seconds=fixed)
    return replace(shaped, aside_seconds=max(0.0, whole - fleet.wait_seconds - shaped.batch_seconds(1)))


def point(assay: AssayUp, fleet: Fleet, kind: str, images: Sequence[bytes], every: float) -> Mapping[str, Any]:
    """Put images, and return measured and predicted latencies of the same arrivals."""
    rows = put(assay, f"{kind}{fleet.workers}", images, every)
    first = rows[0][0]
    arrivals = [came - first for came, *_ in rows]
    p50, p95, _ = percentiles([ended - came for came, ended, _, _ in rows])
    predicted = measure(arrivals, list(judge(arrivals, fleet)), fleet, max(arrivals[-1], 1.0))
    lost = sum(row[3] for row in rows)
    figures = {
        "workers": fleet.workers,
        "arrivals": kind,
        "images_a_second": round(len(rows) / arrivals[-1], 2) if arrivals[-1] else math.inf,
        "measured_s": {"p50": round(p50, 2), "p95": round(p95, 2)},
        "predicted_s": {"p50": round(predicted.p50, 2), "p95": round(predicted.p95, 2)},
        # A batch that takes too long ends its worker: such a point says more of the machine than of the simulation.
        "leases_lost": lost,
    }
    tell(json.dumps(figures))
    return figures


def put(assay: AssayUp, folder: str, images: Sequence[bytes], every: float = 0.0) -> list[Row]:
    """Put images, so many seconds apart or at once, and wait; return a row for each."""
    sent = {f"{folder}/{number:04d}.jpg": data for number, data in enumerate(images)}
    begin, puts = time.monotonic(), []
    with ThreadPoolExecutor(_PUTTING_THREADS) as pool:
        for number, (key, data) in enumerate(sent.items()):
            time.sleep(max(0.0, begin + number * every - time.monotonic()))
            puts.append(pool.submit(assay.put, key, data))
    for one in puts:
        one.result()
    assay.wait_ended(sent.keys(), _LONGEST_SECONDS)
    with assay.database.transaction() as session:
        rows = session.execute(_ROWS, {"prefix": f"{folder}/%"}).all()
    return [(float(came), float(ended), float(device), lost) for came, ended, device, lost in rows]


@contextmanager
def extra_worker(assay: AssayUp, number: int) -> Iterator[None]:
    """Run one more worker beside the stack, on the same cores."""
    environment = process_environment(assay.data_dir, ASSAY_METRICS_PORT="0")
    with (assay.data_dir / f"worker-{number}.log").open("wb") as log:
        command = [sys.executable, "-m", "infra.cli", "worker"]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def wait_workers(assay: AssayUp, count: int) -> None:
    """Wait until so many workers have loaded a bundle."""
    wait_until(lambda: workers_here(assay) == count, _START_SECONDS, f"{count} workers")


def workers_here(assay: AssayUp) -> int:
    """Return how many workers have loaded a bundle."""
    with assay.database.transaction() as session:
        return int(session.scalar(_WORKERS) or 0)


def some(images: Iterator[bytes], count: int) -> list[bytes]:
    """Return the next so many images, which nothing before has put."""
    return [next(images) for _ in range(count)]


def tell(line: str) -> None:
    """Tell people what is being measured."""
    print(f"bench: {line} …", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
