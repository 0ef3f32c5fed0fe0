"""Builds the worker: every collaborator once, from settings, the detectors among them."""

import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path

from celery import Celery
from celery.signals import setup_logging
from PIL import Image

from worker.bundles.encoders.folder import EncoderFolder
from worker.bundles.encoders.travel import download, encoders_of
from worker.bundles.folder import read_bundle
from worker.bundles.loaded import Bundle, shipped_bundle
from worker.bundles.locate import locator
from worker.bundles.opening import Opening, opening
from worker.bundles.shelf import BundleShelf
from worker.database.bundles import keep_figures
from worker.database.duplicates import Duplicates
from worker.database.features import Memory
from worker.database.migrate import require_migrated
from worker.database.scans import Scans
from worker.database.session import Database, connect, open_listening
from worker.database.shipped import register_shipped
from worker.decisions.in_flight import bulk_places
from worker.decisions.turns import BULK_WAITS_SECONDS
from worker.decoders.pool import DecoderPool
from worker.detectors.device import is_out_of_memory, memory, pick_device, set_threads
from worker.detectors.heatmap import overlay_png, raw_npy
from worker.dispatch.celery_app import make_celery
from worker.dispatch.tasks import register_tasks
from worker.errors import AssayError
from worker.freed_memory import share_freed_memory
from worker.log import configure_logging, get_logger
from worker.metrics import BATCH_SIZE, DEVICE_MEMORY
from worker.objects.object_store import object_store
from worker.objects.transfer import Transfer, transfer
from worker.processes.decoders import decoder_pool
from worker.processes.liveness import liveness
from worker.processes.metrics_server import serve_metrics
from worker.processes.wiring import build_exporter, build_fetcher
from worker.scan.end_of_scan import EndOfScan
from worker.scan.heatmap_files import Evidence
from worker.scan.leases import Leases
from worker.scan.micro_batcher import MicroBatcher
from worker.scan.presence import Presence
from worker.scan.read_file import FileReader
from worker.scan.retries import RetryPolicy
from worker.scan.scan_image import ScanImage
from worker.scan.score.by_memory import ByMemory
from worker.scan.score.by_pixels import ByPixels
from worker.scan.score.by_same_bytes import BySameBytes
from worker.scan.thumbnails import Thumbnails
from worker.settings import Settings

log = get_logger()

_WEDGED_EXIT_CODE = 70


def run_worker(settings: Settings) -> None:
    """Load the champion, warm it up, and take scans from Celery until told to stop."""
    setup_logging.connect(lambda **_: configure_logging(settings.log_level, settings.log_format), weak=False)
    share_freed_memory()
    decoders = decoder_pool(settings)
    decoders.start()  # while the detectors are loaded
    threads = 2 * settings.max_batch
    database = connect(settings.database_url.get_secret_value(), pool_size=threads)
    require_migrated(database)
    set_threads(settings.torch_threads)
    batcher = MicroBatcher(
        max_batch=settings.max_batch,
        max_wait_seconds=settings.max_wait_ms / 1000,
        timeout_seconds=settings.batch_timeout_seconds,
        monotonic=time.perf_counter,
        is_out_of_memory=is_out_of_memory,
        observe_batch=BATCH_SIZE.observe,
    )
    batcher.start()
    device = pick_device(settings.device)
    show_memory(device)
    bring = partial(_bring_encoders, transfer(settings), settings.artifact_bucket)
    load = partial(
        _load_warm,
        bring,
        database=database,
        batcher=batcher,
        opening=opening(settings, device),
        max_batch=settings.max_batch,
    )
    shelf = BundleShelf(locator(settings, database), _version_of, load, monotonic=time.monotonic)
    shelf.get(ensure_champion(database, settings.bundle, settings.shadow_share))
    serve_metrics(settings, liveness(batcher, decoders))
    app = make_celery(settings)
    stop = threading.Event()
    presence = Presence(
        partial(open_listening, settings.database_url.get_secret_value()), shelf, bulk_scans=bulk_places(threads)
    )
    presence.start(stop)
    leases = build_leases(settings, database, shelf, presence)
    leases.start(stop)
    scan_image = build_scan_image(settings, database, leases=leases, shelf=shelf, batcher=batcher, decoders=decoders)
    register_tasks(app, scan_image)
    if settings.fetch_threads:
        build_fetcher(settings, database).start(stop)
    build_exporter(settings, database).start(stop)
    _serve(app, threads)
    stop.set()
    presence.join()
    batcher.stop()
    decoders.close()


def build_leases(settings: Settings, database: Database, shelf: BundleShelf, presence: Presence) -> Leases:
    """Wire what renews leases; no stage takes longer than two decodings or batches and waiting for others."""
    return Leases(
        Scans(database),
        seconds=settings.lease_seconds,
        longest_stage=BULK_WAITS_SECONDS + 4 * max(settings.decode_timeout_seconds, settings.batch_timeout_seconds),
        monotonic=time.perf_counter,
        bundles=shelf,
        worker_id=presence.worker_id,
    )


def build_scan_image(
    settings: Settings,
    database: Database,
    *,
    leases: Leases,
    shelf: BundleShelf,
    batcher: MicroBatcher,
    decoders: DecoderPool,
) -> ScanImage:
    """Wire the story to real parts."""
    objects = object_store(settings)
    scans = Scans(database)
    retries = RetryPolicy(settings.max_attempts, settings.retry_base_seconds, settings.retry_max_seconds)
    evidence = Evidence(
        objects=objects, batcher=batcher, overlay=overlay_png, raw=raw_npy, bucket=settings.artifact_bucket
    )
    read_file = FileReader(objects=objects, decoders=decoders, max_bytes=settings.max_image_bytes)
    thumbnails = Thumbnails(objects=objects, read_file=read_file, decoders=decoders, bucket=settings.artifact_bucket)
    return ScanImage(
        leases=leases,
        bundles=shelf,
        read_file=read_file,
        by_memory=ByMemory(recall=Memory(database).recall, bundles=shelf, batcher=batcher),
        by_same_bytes=BySameBytes(originals=Duplicates(database), evidence=evidence),
        by_pixels=ByPixels(
            decoders=decoders,
            batcher=batcher,
            evidence=evidence,
            thumbnails=thumbnails,
            keep_features=settings.feature_days > 0,
        ),
        thumbnails=thumbnails,
        end_of_scan=EndOfScan(scans=scans, retries=retries, end_process=partial(os._exit, _WEDGED_EXIT_CODE)),
        make_heatmaps=settings.heatmaps == "flagged",
    )


def ensure_champion(database: Database, name: str, shadow_share: float) -> str:
    """Register the shipped bundle; make it champion where there is none, else its older self's challenger.

    Returns:
        The champion's version.
    """
    parts = read_bundle(shipped_bundle(name))
    with database.transaction() as session:
        return register_shipped(
            session,
            version=parts.version(),
            name=name,
            card=dict(parts.card),
            figures=parts.figures,
            shadow_share=shadow_share,
        )


def show_memory(device: str) -> None:
    """Let every scrape see what the device holds at that moment."""
    for kind in memory(device):
        DEVICE_MEMORY.labels(kind).set_function(partial(_memory_of, device, kind))


def _memory_of(device: str, kind: str) -> float:
    return float(memory(device)[kind])


def _load_warm(
    bring: Callable[[EncoderFolder, Path], None],
    folder: Path,
    *,
    database: Database,
    batcher: MicroBatcher,
    opening: Opening,
    max_batch: int,
) -> Bundle:
    """Load a bundle here and warm it up; a GPU by the thread that owns it, between the batches of others."""
    bring(opening.encoders, folder)
    bundle = opening.load(folder)
    if opening.device == "cpu":
        # Exporting takes longer than a batch may, and scans of other bundles go on meanwhile; a CPU is nobody's, and
        # no other thread has this bundle yet. It runs views one by one, so one image warms it up.
        opening.choose_engines(bundle)
        bundle.warm_up(1)
        threading.Thread(target=_import_grad_cam, daemon=True).start()
    else:
        batcher(partial(_choose_engines, opening), bundle, alone=True)
        batcher(_warm_up, (bundle, max_batch), alone=True)
    with database.transaction() as session:  # where an older release registered it without
        keep_figures(session, bundle.version, bundle.figures)
    log.info("bundle_loaded", bundle=bundle.version, device=opening.device)
    return bundle


def _import_grad_cam() -> None:
    """Import half a dozen libraries beside the first scans, so that only a flagged image among these waits for them."""
    try:
        import_module("pytorch_grad_cam")
    except Exception:  # the boundary of a thread; verdicts go on without heatmaps
        log.exception("grad_cam_cannot_be_imported")


def _bring_encoders(moves: Transfer, bucket: str, encoders: EncoderFolder, folder: Path) -> None:
    """Fetch the encoders that a bundle names and that are not here, where an import has put them."""
    described = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    named = encoders_of(part["architecture"] for part in described["detectors"].values())
    try:
        download(moves, encoders, named, bucket, "")
    except (AssayError, OSError) as error:
        # Whatever is still missing is told by loading the bundle, with what to do.
        log.warning("encoders_not_fetched", bundle=described.get("version"), error=str(error))


def _choose_engines(opening: Opening, bundles: Sequence[Bundle]) -> Sequence[None]:
    for bundle in bundles:
        opening.choose_engines(bundle)
    return [None] * len(bundles)


def _warm_up(batch: Sequence[tuple[Bundle, int]]) -> Sequence[None]:
    for bundle, max_batch in batch:
        bundle.warm_up(max_batch)
        bundle.heatmaps([bundle.prepare(Image.new("RGB", (256, 256), "grey"))])
    return [None] * len(batch)


def _version_of(folder: Path) -> str:
    return str(json.loads((folder / "bundle.json").read_text(encoding="utf-8"))["version"])


def _serve(app: Celery, threads: int) -> None:
    app.worker_main(
        [
            "worker",
            "--pool=threads",
            f"--concurrency={threads}",
            "--queues=scan.live,scan.bulk",
            "--without-gossip",
            "--without-mingle",
            "--loglevel=WARNING",
        ]
    )
