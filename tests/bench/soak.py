"""Small images by the thousand through the whole of Assay: rate and memory must not drift from the first to the last.

python tests/bench/soak.py [--images 100000] [--portion 1000] [--bundle wild] [--out FILE]
"""

import argparse
import io
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

from PIL import Image
from sqlalchemy import text

sys.path.append(str(Path(__file__).parents[2]))  # tests are installed nowhere
from tests.support.assay_up import AssayUp, descendants, wait_until

_LONGEST_SECONDS = 3600.0
_PUTTING_THREADS = 4
_PROCESSES = ("worker", "dispatcher", "listener", "api")
_ENDED = text("SELECT count(*) FROM scan WHERE finished_at IS NOT NULL")
_BAD = text("SELECT state, count(*) FROM scan WHERE state <> 'completed' GROUP BY state")


def main() -> None:
    """Put portion after portion, each when the one before has ended, and print what each took and who held what."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--portion", type=int, default=1000)
    parser.add_argument("--bundle", default="wild")
    parser.add_argument("--out", type=Path, help="the same JSON, in a file")
    terms = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="assay-soak-", dir="/var/tmp") as scratch:
        Path(scratch).chmod(0o711)
        with AssayUp(Path(scratch) / "assay", ASSAY_BUNDLE=terms.bundle) as assay:
            put(assay, range(-64, 0))  # what is built once is built before the first portion
            wait_ended(assay, 64)
            portions = []
            for at in range(0, terms.images, terms.portion):
                portions.append(soak(assay, range(at, min(at + terms.portion, terms.images))))
                sys.stderr.write(f"soak: {json.dumps(portions[-1])}\n")
            with assay.database.transaction() as session:
                bad = {str(state): int(count) for state, count in session.execute(_BAD)}
    report = {"images": terms.images, "bad": bad, "first": portions[0], "last": portions[-1], "portions": portions}
    if terms.out:
        terms.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report))
    sys.exit(1 if bad else 0)


def soak(assay: AssayUp, numbers: range) -> dict[str, object]:
    """Put a portion and wait until it has ended; return its rate, and what processes hold at its end."""
    begin = time.perf_counter()
    put(assay, numbers)
    wait_ended(assay, 64 + numbers.stop)
    seconds = time.perf_counter() - begin
    return {"to": numbers.stop, "images_s": round(len(numbers) / seconds, 2), "mb": memory(assay)}


def put(assay: AssayUp, numbers: range) -> None:
    """Put small pictures that are all different."""
    with ThreadPoolExecutor(_PUTTING_THREADS) as pool:
        list(pool.map(lambda number: assay.put(f"soak/{number + 64:07d}.jpg", picture(number)), numbers))


def picture(number: int) -> bytes:
    """Make a JPEG of 96 by 96 pixels that is the same for a number."""
    noise = Random(number).randbytes(24 * 24 * 3)  # noqa: S311 - pictures, no secrets
    with io.BytesIO() as file:
        Image.frombytes("RGB", (24, 24), noise).resize((96, 96)).save(file, "JPEG", quality=85)
        return file.getvalue()


def wait_ended(assay: AssayUp, count: int) -> None:
    """Wait until so many scans have ended."""

    def reached() -> bool:
        with assay.database.transaction() as session:
            return (session.scalar(_ENDED) or 0) >= count

    wait_until(reached, _LONGEST_SECONDS, f"{count} scans to end")


def memory(assay: AssayUp) -> Mapping[str, int]:
    """Return the resident megabytes of each of Assay's processes, decoders with their worker."""
    held = {}
    for name in _PROCESSES:
        pid = assay.pid(name)
        held[name] = sum(map(resident, {pid, *descendants(pid)}))
    return held


def resident(pid: int) -> int:
    """Return a process's resident megabytes; 0 where it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS:"))


if __name__ == "__main__":
    main()
