"""Where an image's processor time goes: milliseconds by part, of Assay's own processes and of the services apart.

Processor time is the kernel's count, so shares hold on a busy machine. What decoding and provenance cost by themselves
is measured in a process without any hand-over, over the same images. Statements are counted in Postgres' own log, over
a few images more, and bytes at its and the other services' sockets where `ss` is installed.

    python tests/bench/budget.py [--images 300] [--bundle wild]
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Any

from sqlalchemy import text

sys.path.append(str(Path(__file__).parents[2]))  # tests are installed nowhere
from accounts import OWN, SERVICES, processor_seconds, spent, thread_seconds
from bench_images import SIDES, gather
from rows import Row, table, write_rows
from throughput import put_all, say, wait_scans

from tests.support.assay_up import AssayUp
from worker.bundles.folder import read_bundle
from worker.bundles.loaded import shipped_bundle
from worker.decoders.look import look_at, read_file
from worker.freed_memory import share_freed_memory
from worker.provenance.c2pa_manifest import read_manifest
from worker.settings import Settings

_COMMAND = "python tests/bench/budget.py"
_HERE = Path(__file__).parent
_WARM = 48
_COUNTED = 64  # images whose statements are counted
_STAGES = ("fetch", "read", "duplicate", "look", "detect", "heatmap", "record")
_LINE = re.compile(r"LOG: +(?:statement|execute [^:]*): +(.*)")


def main() -> None:
    """Measure on a stack of its own, and print the budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--bundle", default="wild")
    parser.add_argument("--rows", type=Path, help="file that the rows are written to as well")
    given = parser.parse_args()
    say("gathering images")
    images = gather(None, given.images + _COUNTED, SIDES)
    names = list(images)
    counted = {f"counted/{name}": images[name] for name in names[given.images :]}
    sent = {f"bench/{name}": images[name] for name in names[: given.images]}
    say("decoding alone")
    decoding = decoding_alone(list(sent.values()), given.bundle)
    with tempfile.TemporaryDirectory(prefix="assay-bench-", dir="/var/tmp") as scratch:
        Path(scratch).chmod(0o711)
        threads = Path(scratch) / "threads"
        threads.mkdir()
        extra = {"PYTHONPATH": str(_HERE / "accounting"), "BENCH_THREADS": str(threads)}
        with AssayUp(Path(scratch) / "assay", ASSAY_BUNDLE=given.bundle, **extra) as assay:
            say("warming up")
            warm = {f"warm/{name}": data + b"\x00" for name, data in list(images.items())[:_WARM]}
            put_all(assay, warm)
            wait_scans(assay, _WARM, "finished_at IS NOT NULL")
            say("scanning")
            measured = measure(assay, sent, threads)
            say("counting statements")
            measured["statements"] = count_statements(assay, counted)
    rows = rows_of(measured, decoding, len(sent))
    print(table(row.to_json() for row in rows))
    print(json.dumps(measured["statements"], indent=1))
    if given.rows:
        write_rows(given.rows, rows)


def decoding_alone(images: list[bytes], bundle: str) -> dict[str, float]:
    """Return processor milliseconds an image of provenance with hashing, and of decoding with views, by themselves."""
    share_freed_memory()
    plans = {name: part.plan for name, part in read_bundle(shipped_bundle(bundle)).detectors.items()}
    most = Settings().max_image_pixels
    taken: dict[str, list[float]] = {"provenance": [], "decode and views": []}
    for number, data in enumerate(images[:120]):
        start = time.thread_time()
        read_file(data, lambda found: read_manifest(found, ""))
        between = time.thread_time()
        look_at(data, plans, max_pixels=most)
        if number >= 10:  # warm by then
            taken["provenance"].append(between - start)
            taken["decode and views"].append(time.thread_time() - between)
    return {name: 1000 * mean(seconds) for name, seconds in taken.items()}


def measure(assay: AssayUp, images: Mapping[str, bytes], threads: Path) -> dict[str, Any]:
    """Put images while the dispatcher is held, let it go, and account for what is spent until the last verdict."""
    dispatcher, worker = assay.pid("dispatcher"), assay.pid("worker")
    before_put = processor_seconds(assay)
    os.kill(dispatcher, signal.SIGSTOP)
    try:
        put_all(assay, images)
        wait_scans(assay, len(images), "state = 'queued'")
    finally:
        os.kill(dispatcher, signal.SIGCONT)
    before, stages = processor_seconds(assay), stage_seconds(worker)
    of_threads, wires, start = thread_seconds(worker), bytes_at_services(assay), time.perf_counter()
    wait_scans(assay, _WARM + len(images), "finished_at IS NOT NULL")
    seconds = time.perf_counter() - start
    after, stages_after = processor_seconds(assay), stage_seconds(worker)
    known = set(assay.outcomes(images.keys()))
    assert known == set(images)
    timed = [one.timings for versions in assay.outcomes(images.keys()).values() for one in versions if one.timings]
    return {
        "ingest": spent(before_put, before),
        "scan": spent(before, after),
        "stages": {name: value - stages.get(name, 0.0) for name, value in stages_after.items()},
        "threads": by_kind(worker, threads, of_threads, thread_seconds(worker)),
        "bytes": {part: moved - wires.get(part, 0) for part, moved in bytes_at_services(assay).items()},
        "wall": {name: mean(one.get(name, 0.0) for one in timed) for name in {n: 0 for one in timed for n in one}},
        "images_s": len(images) / seconds,
    }


def by_kind(pid: int, threads: Path, before: Mapping[int, float], after: Mapping[int, float]) -> dict[str, float]:
    """Return processor seconds of the worker's threads: its scans', Celery's, the device's, and all others'."""
    names = {pid: "celery"}
    for line in (threads / str(pid)).read_text().splitlines():
        thread, _, name = line.partition(" ")
        names[int(thread)] = name
    kinds: dict[str, float] = {}
    for thread_id, seconds in after.items():
        kind = _kind_of(names.get(thread_id))
        kinds[kind] = kinds.get(kind, 0.0) + seconds - before.get(thread_id, 0.0)
    return kinds


def _kind_of(name: str | None) -> str:
    if name is None or name == "batcher":
        return "forward"  # the device's thread, and those of the engine
    if name.startswith("ThreadPoolExecutor"):
        return "scans"
    return name if name == "celery" else "others"


def stage_seconds(pid: int) -> dict[str, float]:
    """Return processor seconds by stage, as the worker's metrics tell them."""
    variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    port = next(one.partition(b"=")[2].decode() for one in variables if one.startswith(b"ASSAY_METRICS_PORT="))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        metrics = answer.read().decode()
    found = re.findall(r'^assay_stage_processor_seconds_total\{stage="(\w+)"\} (\S+)$', metrics, re.MULTILINE)
    return {name: float(value) for name, value in found}


def bytes_at_services(assay: AssayUp) -> dict[str, int]:
    """Return bytes that went in and out of each service's port over connections open now; empty without `ss`."""
    if shutil.which("ss") is None:
        return {}
    addresses = assay.addresses
    urls = {
        "postgres": addresses.database_url,
        "valkey": addresses.redis_url,
        "object_store": addresses.s3_endpoint_url,
    }
    return {part: _bytes_of(re.findall(r":(\d+)(?:/|$)", url)[-1]) for part, url in urls.items()}


def _bytes_of(port: str) -> int:
    command = [shutil.which("ss") or "ss", "-tinH", f"sport = :{port}"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return sum(map(int, re.findall(r"bytes_(?:sent|received):(\d+)", out)))


def count_statements(assay: AssayUp, images: Mapping[str, bytes]) -> dict[str, float]:
    """Let Postgres log every statement while some images are scanned; return how many of each there are an image."""
    log = assay.data_dir / "logs" / "postgres.log"
    _log_statements(assay, "all")
    start = log.stat().st_size
    put_all(assay, images)
    assay.wait_ended(images.keys(), 600.0)
    with log.open(encoding="utf-8", errors="replace") as file:
        file.seek(start)
        found = Counter(_shape(match[1]) for match in map(_LINE.search, file) if match)
    _log_statements(assay, "none")
    return {shape: round(count / len(images), 2) for shape, count in found.most_common() if count > len(images) / 20}


def _log_statements(assay: AssayUp, which: str) -> None:
    with assay.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"ALTER SYSTEM SET log_statement = '{which}'"))
        connection.execute(text("SELECT pg_reload_conf()"))
        connection.execute(text("SELECT pg_sleep(0.5)"))


def _shape(statement: str) -> str:
    """Return a statement's first words, and the first table that it names."""
    verb = (statement.split(maxsplit=1) or ["?"])[0].upper()
    named = re.search(r"\b(?:FROM|INTO|UPDATE|ONLY) +(?!SELECT\b)\"?(\w+)", statement, re.IGNORECASE)
    return f"{verb} {named[1]}" if named else verb


def rows_of(measured: Mapping[str, Any], decoding: Mapping[str, float], images: int) -> list[Row]:
    """Return the rows of the table of benchmarks."""
    scan, ingest, stages, threads = (measured[name] for name in ("scan", "ingest", "stages", "threads"))

    def row(name: str, seconds: float, aim: float | None = None) -> Row:
        return Row(f"budget: {name}", round(1000 * seconds / images, 2), "ms of a core an image", aim, _COMMAND)

    def plain(name: str, figure: float, unit: str) -> Row:
        return Row(f"budget: {name}", round(figure, 2), unit, None, _COMMAND)

    decode = sum(decoding.values()) * images / 1000
    in_stages = sum(stages.get(name, 0.0) for name in _STAGES)
    whole = scan["worker"] + scan["decoders"] + scan["dispatcher"] + scan["listener"] + ingest["listener"]
    own = whole - threads["forward"] - decode - stages.get("heatmap", 0.0)
    statements = sum(measured["statements"].values())
    return [
        row("Assay's own beside decoding, provenance, forward, heatmaps", own, 6.0),
        *(row(f"worker, {name}", stages.get(name, 0.0)) for name in _STAGES),
        row("worker, lease and rest of a task", stages.get("task", 0.0) - in_stages),
        row("worker, Celery", threads["celery"] + threads["scans"] - stages.get("task", 0.0)),
        row("worker, forward", threads["forward"]),
        row("worker, other threads", threads.get("others", 0.0)),
        *(plain(f"decoders, {name}, by itself", ms, "ms of a core an image") for name, ms in decoding.items()),
        row("decoders, hand-over and rest", scan["decoders"] - decode),
        *(row(part, scan[part] + ingest[part]) for part in OWN if part not in {"worker", "decoders"}),
        *(row(f"service {part}, scanning", scan[part]) for part in SERVICES),
        *(row(f"service {part}, ingest and put", ingest[part]) for part in SERVICES),
        *(plain(f"wall, {name}", ms, "ms an image") for name, ms in measured["wall"].items()),
        plain("statements, all processes, BEGIN and COMMIT included", statements, "an image"),
        *(plain(f"bytes, {part}", moved / images, "an image") for part, moved in measured["bytes"].items()),
        plain("images a second meanwhile", measured["images_s"], "images/s"),
    ]


if __name__ == "__main__":
    main()
