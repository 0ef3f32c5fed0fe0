"""Parts that several processes wire alike, of the settings."""

import signal
import threading
from types import FrameType

from worker.database.migrate import require_migrated
from worker.database.session import Database, connect
from worker.exports.exporter import Exporter
from worker.ingest.download import Download
from worker.ingest.fetcher import Fetcher
from worker.ingest.register import Register
from worker.ingest.sweep import Sweep
from worker.objects.object_store import object_store
from worker.objects.transfer import transfer
from worker.settings import Settings

# A round may wait for a database or a broker that does not answer, each bounded by its own time-out.
LONGEST_ROUND_SECONDS = 120.0


def build_database(settings: Settings) -> Database:
    """Connect, and refuse a database that lacks a migration of this release."""
    database = connect(settings.database_url.get_secret_value())
    require_migrated(database)
    return database


def build_register(settings: Settings, database: Database) -> Register:
    """Wire the step that all ways in share."""
    return Register(
        database,
        object_store(settings),
        upload_buckets=settings.upload_buckets,
        artifact_bucket=settings.artifact_bucket,
        image_id_pattern=settings.image_id_pattern,
    )


def build_fetcher(settings: Settings, database: Database) -> Fetcher:
    """Wire what fetches files that platforms name by address."""
    private = settings.fetch_private_addresses
    return Fetcher(
        database,
        Download(max_bytes=settings.max_image_bytes, private=private),
        object_store(settings),
        build_register(settings, database),
        bucket=settings.upload_buckets[0],
        threads=settings.fetch_threads,
    )


def build_exporter(settings: Settings, database: Database) -> Exporter:
    """Wire what makes exports."""
    return Exporter(database, transfer(settings).upload, bucket=settings.artifact_bucket)


def build_sweep(settings: Settings, database: Database) -> Sweep:
    """Wire the sweep over the upload buckets, the artifact bucket excepted."""
    buckets = [bucket for bucket in settings.upload_buckets if bucket != settings.artifact_bucket]
    return Sweep(database, object_store(settings), build_register(settings, database), buckets)


def stop_on_signal() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set; for the main thread only."""
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        # Setting it from a thread of its own: a signal may interrupt the very lock it takes.
        threading.Thread(target=stop.set).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    return stop
