"""Images a second in one run on the same images: the whole pipeline, the bare loop, and plain Celery.

python tests/bench/throughput.py [--images 1000] [--data FOLDER|FILE.parquet | --side 512] [--bundle wild] [--json]
python tests/bench/throughput.py --bare --side 512       # the bare loop alone
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean
from typing import Any

from bench_images import SIDES, gather
from sqlalchemy import text

from infra.cli.environment import child_environment

sys.path.append(str(Path(__file__).parents[2]))  # tests are installed nowhere
from tests.support.assay_up import AssayUp, wait_until

_HERE = Path(__file__).parent
_PUTTING_THREADS = 4
_LONGEST_SECONDS = 1800.0
# How many forked workers somebody would start: one a core.
_PLAIN_WORKERS = os.cpu_count() or 1


def main() -> None:
    """Measure all three, one after the other on an otherwise idle machine, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--side", type=int, help="of the sample crops in pixels, instead of 256, 512 and 768 mixed")
    parser.add_argument("--bundle", default="wild")
    parser.add_argument("--bare", action="store_true", help="the bare loop alone")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="assay-bench-", dir="/var/tmp") as scratch:
        Path(scratch).chmod(0o711)
        say("gathering images")
        images = gather(given.data, given.images, [given.side] if given.side else SIDES)
        folder = Path(scratch) / "images"
        folder.mkdir()
        for name, data in images.items():
            (folder / name).write_bytes(data)
        say("bare loop")
        bare = measure_bare(folder, given.bundle)
        if given.bare:
            print(json.dumps(bare) if given.json else bare_line(bare))
            return
        with AssayUp(Path(scratch) / "assay", ASSAY_BUNDLE=given.bundle) as assay:
            say("pipeline")
            pipeline = measure_pipeline(assay, images)
            say("plain Celery, one image a task")
            pipeline["plain_images_s"] = measure_plain(assay, images, given.bundle)
    report = {"images": len(images), "cores": os.cpu_count(), **bare, **pipeline}
    report["ratio"] = report["pipeline_images_s"] / report["bare_images_s"]
    report["times_plain"] = report["pipeline_images_s"] / report["plain_images_s"]
    print(json.dumps(report) if given.json else table(report))


def measure_bare(folder: Path, bundle: str) -> dict[str, float]:
    """Run the bare loop in a process of its own, model loading not counted."""
    command = [sys.executable, str(_HERE / "bare_loop.py"), str(folder)]
    # Threads wait as the worker's do: spinning is a little faster on an idle machine and many times slower on others.
    environment = child_environment(ASSAY_BUNDLE=bundle, OMP_WAIT_POLICY="PASSIVE")
    out = subprocess.run(command, env=environment, check=True, capture_output=True).stdout
    measured = json.loads(out)
    return {
        "bare_images_s": measured["images"] / measured["seconds"],
        "bare_resident_mb": measured["resident_mb"],
    }


def measure_pipeline(assay: AssayUp, images: Mapping[str, bytes]) -> dict[str, Any]:
    """Put everything while the dispatcher is held, let it go, and wait for the last verdict.

    So it starts from where the bare loop and plain Celery start: images that are stored already. The client that
    puts them would run on the same cores here, and nowhere else.
    """
    # Other bytes than those that count: what is known already would cost nothing.
    warm = {f"warm/{name}": data + b"\x00" for name, data in list(images.items())[:32]}
    put_all(assay, warm)
    assay.wait_ended(warm.keys(), _LONGEST_SECONDS)
    sent = {f"bench/{name}": data for name, data in images.items()}
    dispatcher = assay.pid("dispatcher")
    os.kill(dispatcher, signal.SIGSTOP)
    try:
        put_all(assay, sent)
        wait_scans(assay, len(sent), "state = 'queued'")
    finally:
        os.kill(dispatcher, signal.SIGCONT)
    start = time.perf_counter()
    wait_scans(assay, len(warm) + len(sent), "finished_at IS NOT NULL")
    seconds = time.perf_counter() - start
    ended = assay.wait_ended(sent.keys(), _LONGEST_SECONDS).values()
    timed = [outcome.timings for outcome in ended if outcome.timings]
    return {
        "pipeline_images_s": len(sent) / seconds,
        "flagged_share": mean(outcome.verdict == "ai_generated" for outcome in ended),
        "stage_ms": {
            stage: round(mean(t.get(stage, 0.0) for t in timed), 1)
            for stage in {stage: 0 for t in timed for stage in t}
        },
    }


def measure_plain(assay: AssayUp, images: Mapping[str, bytes], bundle: str) -> float:
    """Send one task an image to forked workers, while Assay's own worker is idle, and wait for all rows."""
    # Eager torch, as people write it.
    environment = child_environment(ASSAY_BUNDLE=bundle, ASSAY_ENGINE="torch", **assay.addresses.environment())
    with assay.database.engine.begin() as connection:
        connection.execute(text("CREATE TABLE plain_result (key text, probability float)"))
    command = ["-m", "celery", "-A", "plain_celery", "worker", f"-c{_PLAIN_WORKERS}", "-Q", "plain", "--loglevel=ERROR"]
    with subprocess.Popen(
        [sys.executable, *command], env=environment, cwd=_HERE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as worker:
        try:
            keys = [f"bench/{name}" for name in images]
            send_plain(environment, [f"warm/{name}" for name in list(images)[:32]], assay.addresses.upload_bucket)
            wait_rows(assay, 32)
            start = time.perf_counter()
            send_plain(environment, keys, assay.addresses.upload_bucket)
            wait_rows(assay, 32 + len(keys))
            return len(keys) / (time.perf_counter() - start)
        finally:
            worker.terminate()


def send_plain(environment: Mapping[str, str], keys: list[str], bucket: str) -> None:
    """Publish one task a key, from a process that has the broker's address in its environment."""
    program = (
        "import sys, json; from plain_celery import app\n"
        "bucket, keys = json.load(sys.stdin)\n"
        "for key in keys: app.send_task('plain.scan', (bucket, key), queue='plain')"
    )
    subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps([bucket, keys]),
        text=True,
        env=environment,
        cwd=_HERE,
        check=True,
    )


def wait_scans(assay: AssayUp, count: int, condition: str) -> None:
    """Wait until so many scans are in a state; a count costs the database next to nothing."""

    def reached() -> bool:
        with assay.database.engine.begin() as connection:
            return bool(connection.scalar(text(f"SELECT count(*) FROM scan WHERE {condition}")) >= count)  # noqa: S608

    wait_until(reached, _LONGEST_SECONDS, f"{count} scans where {condition}")


def wait_rows(assay: AssayUp, count: int) -> None:
    """Wait until plain Celery has written so many rows."""

    def written() -> bool:
        with assay.database.engine.begin() as connection:
            return bool(connection.scalar(text("SELECT count(*) FROM plain_result")) >= count)

    wait_until(written, _LONGEST_SECONDS, f"{count} rows of plain Celery")


def put_all(assay: AssayUp, images: Mapping[str, bytes]) -> None:
    """Put everything from a few threads, as uploads come."""
    with ThreadPoolExecutor(_PUTTING_THREADS) as pool:
        list(pool.map(assay.put, images.keys(), images.values()))


def bare_line(report: Mapping[str, Any]) -> str:
    """Return the bare loop's figures for people."""
    return f"  bare loop     {report['bare_images_s']:7.1f} images/s   {report['bare_resident_mb']} MB resident at most"


def table(report: Mapping[str, Any]) -> str:
    """Return the report for people."""
    stages = "  ".join(f"{stage} {ms:g}" for stage, ms in report["stage_ms"].items())
    return (
        f"{report['images']} images on {report['cores']} cores, {report['flagged_share']:.0%} flagged\n"
        f"{bare_line(report)}\n"
        f"  pipeline      {report['pipeline_images_s']:7.1f} images/s   ratio to bare {report['ratio']:.2f}\n"
        f"  plain Celery  {report['plain_images_s']:7.1f} images/s   pipeline: {report['times_plain']:.1f} times that\n"
        f"  mean ms a scan by stage, waiting for company and device included: {stages}"
    )


def say(line: str) -> None:
    """Tell people what is being measured."""
    print(f"bench: {line} …", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
