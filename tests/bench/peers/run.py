"""Images a second of other serving frameworks beside Assay, with the same bundle, images and cores in one run.

python tests/bench/peers/run.py [--only mosec,litserve,bentoml,ray,celery] [--images 200]
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # tests are installed nowhere
sys.path.append(str(Path(__file__).parents[3]))
from bench_images import gather
from peers.peer import NotMeasuredError, Peer, last_line, measure_peer
from rows import Row, keep_row
from throughput import measure_bare, measure_pipeline, measure_plain, say

from infra.cli.environment import adopt
from tests.support.assay_up import ENGINE_CACHE, AssayUp
from worker.cores import cores

BUNDLE = "wild"
OUT = Path(__file__).parents[3] / "build" / "bench.json"
BEST = "peers: pipeline to the best peer"  # as `make bench-check` names it
_SERVER = "peers"
PEERS = {
    "mosec": Peer(
        "mosec",
        "mosec",
        ("-m", f"{_SERVER}.mosec_server", "--address", "127.0.0.1", "--timeout", "300000", "--port"),
        "/inference",
        "no shared memory between stages as it comes: views are pickled over sockets",
    ),
    "litserve": Peer(
        "LitServe",
        "litserve",
        ("-m", f"{_SERVER}.litserve_server", "--port"),
        "/predict",
        "decodes in the process that scores, never beside a forward pass",
    ),
    "bentoml": Peer(
        "BentoML",
        "bentoml",
        ("-m", "bentoml", "serve", f"{_SERVER}.bentoml_server:Uploads", "--host", "127.0.0.1", "--port"),
        "/scan",
        "no shared memory between services: HTTP; refuses what would wait too long",
    ),
    "ray": Peer(
        "Ray Serve",
        "ray",
        ("-m", f"{_SERVER}.ray_server", "--port"),
        "/scan",
        "no batches across replicas: each makes its own",
    ),
}
CELERY, CELERY_LACKS = "celery", "no batches, no engines: eager torch, one image a forward pass"
NO_PEER = (
    "No peer keeps a ledger, events or leases, reads provenance, or makes heatmaps.\n"
    "None bounds a decoder's memory and time. Those on HTTP lose a request with its process."
)


@dataclass
class Report:
    """What came out.

    Attributes:
        images: how many.
        cores: that this process may use.
        load: of the machine in the last minute, when the run began; other work lowers figures and moves ratios.
        images_s: images a second, by name.
        not_measured: why not, by name.
    """

    images: int
    cores: int
    load: float
    images_s: dict[str, float] = field(default_factory=dict)
    not_measured: dict[str, str] = field(default_factory=dict)

    @property
    def ratios(self) -> dict[str, float]:
        """Pipeline over each peer, by name."""
        peers = {name: rate for name, rate in self.images_s.items() if name not in {"bare loop", "pipeline"}}
        return {name: self.images_s["pipeline"] / rate for name, rate in peers.items()}


def main() -> None:
    """Measure one after the other, print a table and a JSON object, and exit with 1 if one was not measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--only", default=",".join([*PEERS, CELERY]), help="peers, comma between")
    options = parser.parse_args()
    only = options.only.split(",")
    if unknown := set(only) - {*PEERS, CELERY}:
        parser.error(f"no such peer: {', '.join(sorted(unknown))}")
    # One cache for all: engines chosen twice may differ.
    adopt({"ASSAY_BUNDLE": BUNDLE, "ASSAY_ENGINE_CACHE_DIR": str(ENGINE_CACHE)})
    report = Report(options.images, cores(), round(os.getloadavg()[0], 1))
    say("gathering images")
    images = gather(None, options.images)
    with tempfile.TemporaryDirectory(prefix="assay-bench-", dir="/var/tmp") as scratch:
        Path(scratch).chmod(0o711)
        measure_peers(report, images, only, Path(scratch))
        measure_assay(report, images, Path(scratch), celery=CELERY in only)
    print(table(report))
    if report.ratios:
        command = f"python tests/bench/peers/run.py --images {options.images}"
        keep_row(OUT, Row(BEST, min(report.ratios.values()), "", 0.85, command, more_is_better=True))
    print(json.dumps({**asdict(report), "pipeline_over": report.ratios}))
    sys.exit(1 if report.not_measured else 0)


def measure_peers(report: Report, images: Mapping[str, bytes], only: Collection[str], scratch: Path) -> None:
    """Measure each peer that listens on HTTP."""
    for peer in (peer for key, peer in PEERS.items() if key in only):
        say(peer.name)
        log = scratch / f"{peer.distribution}.log"
        try:
            report.images_s[peer.name] = measure_peer(peer, images, log)
        except NotMeasuredError as error:
            report.not_measured[peer.name] = last_line(str(error))


def measure_assay(report: Report, images: Mapping[str, bytes], scratch: Path, *, celery: bool) -> None:
    """Measure the bare loop and the pipeline, and plain Celery beside the same services."""
    folder = scratch / "images"
    folder.mkdir()
    for name, data in images.items():
        (folder / name).write_bytes(data)
    say("bare loop")
    report.images_s["bare loop"] = measure_bare(folder, BUNDLE)["bare_images_s"]
    with AssayUp(scratch / "assay", ASSAY_BUNDLE=BUNDLE) as assay:
        say("pipeline")
        report.images_s["pipeline"] = measure_pipeline(assay, images)["pipeline_images_s"]
        if celery:
            say("plain Celery")
            report.images_s["plain Celery"] = measure_plain(assay, images, BUNDLE)


def table(report: Report) -> str:
    """Return the report for people."""
    lacks = {peer.name: peer.lacks for peer in PEERS.values()} | {"plain Celery": CELERY_LACKS}
    ratios = report.ratios
    lines = [f"{report.images} images on {report.cores} cores, load {report.load} when the run began"]
    for name, rate in report.images_s.items():
        ratio = f"{ratios[name]:6.2f}" if name in ratios else "     -"
        lines.append(f"  {name:<13} {rate:7.1f} images/s   pipeline over it {ratio}   {lacks.get(name, '')}".rstrip())
    lines += [f"  {name:<13} not measured: {reason}" for name, reason in report.not_measured.items()]
    if ratios:
        best = min(ratios, key=ratios.__getitem__)
        lines.append(f"  pipeline over the best peer, {best}: {ratios[best]:.2f}; the aim is 0.85")
    return "\n".join([*lines, NO_PEER])


if __name__ == "__main__":
    main()
