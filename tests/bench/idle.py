"""What Assay costs while nothing happens, and how soon the dispatcher hears of a new scan then.

Processor time by the kernel's count, so it holds on a busy machine; the delay is by the database's clock.

    python tests/bench/idle.py [--seconds 30] [--scans 8]
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import text

sys.path.append(str(Path(__file__).parents[2]))  # tests are installed nowhere
from accounts import OWN, SERVICES, processor_seconds, spent
from rows import Row, write_rows

from tests.support.assay_up import AssayUp, wait_until
from worker.database.images import NewImage, insert_image_and_scan

_SETTLE_SECONDS = 15.0
_QUIET_SECONDS = 4.0  # after which the dispatcher trusts notifications
_COMMAND = "python tests/bench/idle.py"


def main() -> None:
    """Measure both on a stack of its own, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--scans", type=int, default=8)
    parser.add_argument("--rows", type=Path, help="file that the rows are written to as well")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="assay-bench-", dir="/var/tmp") as scratch:
        Path(scratch).chmod(0o711)
        with AssayUp(Path(scratch) / "assay") as assay:
            time.sleep(_SETTLE_SECONDS)
            shares = idle_shares(assay, given.seconds)
            delays = dispatch_delays(assay, given.scans)
    print(json.dumps({"idle_percent_of_a_core": shares, "dispatch_delay_ms": [round(ms, 1) for ms in delays]}))
    if given.rows:
        write_rows(given.rows, rows_of(shares, delays))


def idle_shares(assay: AssayUp, seconds: float) -> dict[str, float]:
    """Return percent of a core by part while nothing is put."""
    before, start = processor_seconds(assay), time.perf_counter()
    time.sleep(seconds)
    used = spent(before, processor_seconds(assay))
    elapsed = time.perf_counter() - start
    return {part: round(100 * value / elapsed, 2) for part, value in used.items()}


def dispatch_delays(assay: AssayUp, scans: int) -> list[float]:
    """Return milliseconds from a scan's commit to its dispatch, each after a while in which nothing happened."""
    worker = assay.pid("worker")
    os.kill(worker, signal.SIGSTOP)  # so that a dispatched scan stays as it is
    try:
        return [_delay(assay, number) for number in range(scans)]
    finally:
        os.kill(worker, signal.SIGCONT)


def _delay(assay: AssayUp, number: int) -> float:
    time.sleep(_QUIET_SECONDS)
    image = NewImage(f"idle-{number}", "idle", "idle", f"idle-{number}", "1", versioned=False, size_bytes=1)
    with assay.database.transaction() as session:
        _, scan_id, _ = insert_image_and_scan(session, image)
    ahead = text(
        "SELECT extract(epoch FROM due_at - created_at) - :timeout FROM scan WHERE id = :id AND state <> 'queued'"
    )
    found: list[Any] = []

    def dispatched() -> bool:
        with assay.database.transaction() as session:
            known = {"id": scan_id, "timeout": assay.settings.dispatch_timeout_seconds}
            found[:] = session.scalars(ahead, known).all()
        return bool(found)

    wait_until(dispatched, 30.0, "a scan to be dispatched")
    return 1000 * float(found[0])


def rows_of(shares: dict[str, float], delays: list[float]) -> list[Row]:
    """Return the rows of the table of benchmarks."""
    aims = {"dispatcher": 1.0, "listener": 1.0}
    return [
        *(
            Row(f"idle: {part}, share of a core", shares[part], "%", aims.get(part), _COMMAND)
            for part in (*OWN, *SERVICES)
        ),
        Row("idle: commit of a scan to its dispatch, median", round(median(delays), 1), "ms", 20.0, _COMMAND),
        Row("idle: commit of a scan to its dispatch, longest", round(max(delays), 1), "ms", None, _COMMAND),
    ]


if __name__ == "__main__":
    main()
