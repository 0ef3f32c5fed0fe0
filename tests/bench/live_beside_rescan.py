"""How long live images take while history is scanned again, beside how long they take when nothing else is to do.

python tests/bench/live_beside_rescan.py [--history 300] [--seconds 60] [--every 0.5] [--by-memory] [--json]
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx2
from bench_images import gather
from sqlalchemy import text

sys.path.append(str(Path(__file__).parents[2]))  # tests are installed nowhere
from tests.support.assay_up import AssayUp, wait_until

_LONGEST_SECONDS = 7200.0
_TOOK = text(
    "SELECT extract(epoch FROM scan.finished_at - image.created_at) FROM scan JOIN image ON image.id = image_pk "
    "WHERE kind = 'live' AND image.key LIKE :prefix"
)
_RESCANS = text("SELECT count(*) FILTER (WHERE finished_at IS NULL), count(*) FROM scan WHERE kind = 'rescan'")


def main() -> None:
    """Measure idle, then beside a rescan, and print the ratio of the two p95."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--history", type=int, default=300, help="images that are scanned again")
    parser.add_argument("--seconds", type=float, default=60.0, help="for which live images come")
    parser.add_argument("--every", type=float, default=0.5, help="seconds between two live images")
    parser.add_argument("--by-memory", action="store_true", help="keep features, so that history needs no pixels")
    parser.add_argument("--json", action="store_true")
    terms = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="assay-bench-", dir="/var/tmp") as scratch:
        Path(scratch).chmod(0o711)
        count = int(terms.seconds / terms.every)
        images = list(gather(None, terms.history + 2 * count + 8, [256]).values())
        history, live = images[: terms.history], images[terms.history :]
        with AssayUp(Path(scratch) / "assay", ASSAY_FEATURE_DAYS="90" if terms.by_memory else "0") as assay:
            put(assay, "history", history)
            put(assay, "warm", live[:8])
            idle = measure(assay, "idle", live[8 : 8 + count], terms.every)
            start_rescan(assay)
            beside = measure(assay, "beside", live[8 + count :], terms.every)
            left, made = rescans(assay)
    report = {
        "history": terms.history,
        "live": count,
        "idle": idle,
        "beside": beside,
        "ratio_p95": round(beside["p95_s"] / idle["p95_s"], 2),
        "rescans_done": made - left,
        "rescan_still_ran": left > 0,
    }
    print(json.dumps(report) if terms.json else table(report))


def put(assay: AssayUp, folder: str, images: list[bytes]) -> None:
    """Put images, and wait until each is judged."""
    keys = [f"{folder}/{number:06d}.jpg" for number in range(len(images))]
    for key, data in zip(keys, images, strict=True):
        assay.put(key, data)
    assay.wait_ended(keys, _LONGEST_SECONDS)


def measure(assay: AssayUp, folder: str, images: list[bytes], every: float) -> dict[str, float]:
    """Put an image every so many seconds; return from being known to being judged, by the database's clock."""
    keys = []
    for number, data in enumerate(images):
        keys.append(f"{folder}/{number:06d}.jpg")
        assay.put(keys[-1], data)
        time.sleep(every)
    assay.wait_ended(keys, _LONGEST_SECONDS)
    with assay.database.transaction() as session:
        took = sorted(float(seconds) for seconds in session.scalars(_TOOK, {"prefix": f"{folder}/%"}))
    p95 = quantiles(took, n=20)[-1]
    return {"p50_s": round(median(took), 3), "p95_s": round(p95, 3), "longest_s": round(took[-1], 3)}


def start_rescan(assay: AssayUp) -> None:
    """Scan all of history again under a policy of another number, as fast as it goes."""
    with httpx2.Client(base_url=assay.doors.api_url, headers={"X-API-Key": assay.doors.api_key}, timeout=30) as api:
        kept = api.get("/v1/policies?limit=1").raise_for_status().json()["items"][0]
        names = ("prior_shift", "false_positive_budget", "miss_budget", "by_source")
        api.post("/v1/policies", json={name: kept[name] for name in names}).raise_for_status()
        where = {"bucket": assay.addresses.upload_bucket, "prefix": "history/"}
        asks = {"filter": where, "rate": 1000, "reason": "the benchmark"}
        api.post("/v1/rescans", json=asks).raise_for_status()
    wait_until(lambda: rescans(assay)[1] > 0, 60, "the rescan to begin")


def rescans(assay: AssayUp) -> tuple[int, int]:
    """Return how many rescans are open, and how many were made."""
    with assay.database.transaction() as session:
        left, made = session.execute(_RESCANS).one()
        return left, made


def table(report: Mapping[str, Any]) -> str:
    """Return the report for people."""
    lines = [
        f"  {name:<7} p50 {report[name]['p50_s']:.3f} s   p95 {report[name]['p95_s']:.3f} s   "
        f"longest {report[name]['longest_s']:.3f} s"
        for name in ("idle", "beside")
    ]
    ran = "ran until the end" if report["rescan_still_ran"] else "ended too soon: ask for more history"
    head = f"{report['live']} live images; {report['rescans_done']} rescans meanwhile, which {ran}"
    return "\n".join([head, *lines, f"  ratio of p95: {report['ratio_p95']}"])


if __name__ == "__main__":
    main()
