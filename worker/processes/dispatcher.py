"""Builds the small processes from settings: dispatcher, listener, sweep. None of them needs a detector."""

import signal
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from types import FrameType

from prometheus_client import REGISTRY
from sqlalchemy import text

from worker.database.drift import DriftMeasures
from worker.database.erasure import Erasure
from worker.database.features import OldFeatures
from worker.database.history_rescans import HistoryRescans
from worker.database.idempotency import Idempotency
from worker.database.migrate import require_migrated
from worker.database.outbox import Outbox
from worker.database.pending_deletions import Doomed
from worker.database.retention import Retentions
from worker.database.session import Database, connect, open_listening
from worker.database.training_leases import TrainingLeases
from worker.dispatch.celery_app import make_celery
from worker.dispatch.dispatcher import Dispatcher, Schedule, ScheduledDuty
from worker.dispatch.publish import Publisher
from worker.dispatch.wake_up import WakeUp
from worker.duties.deletions import DeleteObjects
from worker.duties.drift import MeasureDrift
from worker.duties.retention import Retain
from worker.duties.training_bell import RingTraining
from worker.duties.webhooks import Sender
from worker.errors import AssayError, TransientError
from worker.ingest.register import Register
from worker.ingest.sqs import SqsListener, sqs_client
from worker.ingest.sweep import Sweep
from worker.objects.object_store import ObjectStore, object_store
from worker.objects.transfer import transfer
from worker.processes.metrics_server import Rounds, serve_observed
from worker.processes.store_metrics import StoreCollector
from worker.settings import Settings

# A round may wait for a database or a broker that does not answer, each bounded by its own time-out.
_LONGEST_ROUND_SECONDS = 120.0


class NoQueueError(AssayError):
    """There is no queue to listen to; set ASSAY_SQS_QUEUE_URL, or use the webhook route and the sweep."""


def run_dispatcher(settings: Settings) -> None:
    """Dispatch scans and run the scheduled duties until SIGTERM or SIGINT."""
    database = build_database(settings)
    publisher = Publisher(make_celery(settings))
    rounds = Rounds("dispatcher", _LONGEST_ROUND_SECONDS, time.monotonic)
    wake_up = WakeUp(partial(open_listening, settings.database_url.get_secret_value()))
    dispatcher = Dispatcher(
        database,
        publisher,
        max_in_flight=settings.max_in_flight,
        dispatch_seconds=settings.dispatch_timeout_seconds,
        interval_seconds=settings.dispatch_interval_seconds,
        note_round=rounds.note,
        wake_up=wake_up,
    )
    duties = {
        "sweep": ScheduledDuty(settings.sweep_interval_seconds, build_sweep(settings, database)),
        # It does nothing: when it was last done tells that a dispatcher lives.
        "alive": ScheduledDuty(5.0, lambda: None),
        "webhooks": ScheduledDuty(1.0, build_sender(settings, database)),
        "doomed": ScheduledDuty(10.0, DeleteObjects(Doomed(database), transfer(settings))),
        "training": ScheduledDuty(2.0, RingTraining(TrainingLeases(database), publisher)),
        "features": ScheduledDuty(3600.0, OldFeatures(database, settings.feature_days)),
        "drift": ScheduledDuty(3600.0, build_drift(settings, database)),
        "rescans": ScheduledDuty(1.0, HistoryRescans(database).step),
        "retention": ScheduledDuty(3600.0, build_retain(settings, database)),
    }
    stop = stop_on_signal()
    REGISTRY.register(StoreCollector(database))
    serve_metrics(settings, rounds.alive)
    wake_up.start(stop)
    Schedule(database, duties).start(stop)
    dispatcher.run(stop)


def run_listener(settings: Settings) -> None:
    """Listen to the queue of bucket events until SIGTERM or SIGINT.

    Raises:
        NoQueueError: the settings name no queue.
    """
    if not settings.sqs_queue_url:
        raise NoQueueError
    database = build_database(settings)
    rounds = Rounds("listener", _LONGEST_ROUND_SECONDS, time.monotonic)
    register = build_register(settings, database)
    answers = partial(parts_answer, database, object_store(settings), settings.upload_buckets)
    listener = SqsListener(sqs_client(settings), settings.sqs_queue_url, register, rounds.note, answers)
    stop = stop_on_signal()
    serve_metrics(settings, rounds.alive)
    listener.run(stop)


def parts_answer(database: Database, objects: ObjectStore, buckets: Sequence[str]) -> bool:
    """Tell whether the database and the object store can be reached; one bucket alone may well be lacking."""
    try:
        with database.transaction() as session:
            session.execute(text("SELECT 1"))
    except TransientError:
        return False
    return any(objects.reachable(bucket) for bucket in buckets)


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


def build_sweep(settings: Settings, database: Database) -> Sweep:
    """Wire the sweep over the upload buckets, the artifact bucket excepted."""
    buckets = [bucket for bucket in settings.upload_buckets if bucket != settings.artifact_bucket]
    return Sweep(database, object_store(settings), build_register(settings, database), buckets)


def build_sender(settings: Settings, database: Database) -> Sender:
    """Wire what sends webhooks."""
    return Sender(
        Outbox(database),
        private=settings.webhook_private_addresses,
        disable_after_days=settings.webhook_disable_days,
        wall=lambda: datetime.now(UTC).timestamp(),
    )


def build_retain(settings: Settings, database: Database) -> Retain:
    """Wire what lets go of what is too old."""
    bucket = settings.artifact_bucket
    return Retain(Retentions(database, bucket), Erasure(database, bucket), Idempotency(database))


def build_drift(settings: Settings, database: Database) -> MeasureDrift:
    """Wire what looks for drift."""
    canary = settings.canary_source
    return MeasureDrift(DriftMeasures(database, canary), HistoryRescans(database), canary)


def serve_metrics(settings: Settings, alive: Callable[[], bool] = lambda: True) -> None:
    """Serve this process's metrics, and whether it is alive, where the settings give a port."""
    if settings.metrics_port:
        serve_observed(settings.metrics_host, settings.metrics_port, alive)


def stop_on_signal() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set; for the main thread only."""
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        # Setting it from a thread of its own: a signal may interrupt the very lock it takes.
        threading.Thread(target=stop.set).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    return stop
