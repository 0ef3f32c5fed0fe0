"""What history costs: processor time an image, and the API's answers, while a database grows.

Starts Assay, fills its database with so many images of history (two verdicts each), puts new images and accounts for
the processor time of each; then asks for what is served, and for pages of a search, one request after the other.
Prints one JSON object.

    python tests/bench/growth.py [--history 1000,10000,100000] [--images 80]
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import quantiles
from typing import Any
from urllib.parse import quote

import httpx
from sqlalchemy import text

sys.path.append(str(Path(__file__).parents[2]))  # tests are installed nowhere
from accounts import OWN, processor_seconds, spent
from bench_images import gather
from seed import fill, prepare
from throughput import put_all, say

from tests.support.assay_up import AssayUp

_WARM = 32
_REQUESTS = 300
_LONGEST_SECONDS = 1800.0
_COMPARED = text("UPDATE review_item SET compared_at = now() WHERE compared_at IS NULL")


def main() -> None:
    """Grow, measure at each size, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--history", default="1000,10000,100000", help="images of history, ascending")
    parser.add_argument("--images", type=int, default=80, help="new images at each size")
    terms = parser.parse_args()
    sizes = [int(size) for size in terms.history.split(",")]
    pictures = list(gather(None, _WARM + terms.images * len(sizes), [256]).values())
    report: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="assay-bench-", dir="/var/tmp") as scratch:
        Path(scratch).chmod(0o711)
        with AssayUp(Path(scratch) / "assay", ASSAY_RATE_LIMIT="100000/second") as assay:
            scan(assay, "warm", pictures[:_WARM])
            prepare(assay.database)
            for number, size in enumerate(sizes):
                begin = sizes[number - 1] + 1 if number else 1
                fill(assay.database, begin, size, sizes[-1])
                compare_nothing(assay)
                say(f"measuring at {size} images")
                new = pictures[_WARM + number * terms.images :][: terms.images]
                report.append({"history": size, **scan(assay, f"new{size}", new), **answers(assay, size)})
    print(json.dumps(report))


def compare_nothing(assay: AssayUp) -> None:
    """Spare the dispatcher the look-alikes of history, for which it would take minutes."""
    with assay.database.transaction() as session:
        session.execute(_COMPARED)


def scan(assay: AssayUp, folder: str, pictures: list[bytes]) -> dict[str, float]:
    """Put images, wait for their verdicts, and return milliseconds of a core an image: Assay's own and Postgres'."""
    before = processor_seconds(assay)
    images = {f"{folder}/{number}.jpg": data for number, data in enumerate(pictures)}
    put_all(assay, images)
    assay.wait_ended(images.keys(), _LONGEST_SECONDS)
    used = spent(before, processor_seconds(assay))
    own = sum(used[part] for part in OWN)
    beside = own - used["worker"] - used["decoders"]
    each = {"own_ms": own, "dispatcher_and_listener_ms": beside, "postgres_ms": used["postgres"]}
    return {name: round(1000 * seconds / len(images), 2) for name, seconds in each.items()}


def answers(assay: AssayUp, size: int) -> dict[str, Mapping[str, float]]:
    """Return how long the API takes for what is served of an image, and for the first page of a search."""
    chance = random.Random(size)  # noqa: S311 - which image is asked for is no secret
    headers = {"Authorization": f"Bearer {assay.doors.api_key}"}
    with httpx.Client(base_url=assay.doors.api_url, headers=headers, timeout=60) as client:
        return {
            "image": times(client, lambda: f"/v1/images/{quote(f'bench/{chance.randint(1, size)} ü.jpg', safe='')}"),
            "search": times(client, lambda: f"/v1/verdicts?source={quote(f'bench/{chance.randint(0, 39)}', safe='')}"),
        }


def times(client: httpx.Client, question: Callable[[], str]) -> Mapping[str, float]:
    """Ask again and again; return median and 99th percentile in milliseconds."""
    taken = []
    for _ in range(_REQUESTS):
        begin = time.perf_counter()
        client.get(question()).raise_for_status()
        taken.append(1000 * (time.perf_counter() - begin))
    cuts = quantiles(taken, n=100, method="inclusive")
    return {"p50_ms": round(cuts[49], 1), "p99_ms": round(cuts[98], 1)}


if __name__ == "__main__":
    main()
