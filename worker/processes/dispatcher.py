"""The dispatcher's process: scans are dispatched, and the scheduled duties run, until it is told to stop."""

import time
from functools import partial

from prometheus_client import REGISTRY

from worker.database.session import open_listening
from worker.dispatch.celery_app import make_celery
from worker.dispatch.dispatcher import Dispatcher
from worker.dispatch.publish import Publisher
from worker.dispatch.schedule import Schedule
from worker.dispatch.wake_up import WakeUp
from worker.duties import DutyTerms, scheduled_duties
from worker.objects.transfer import transfer
from worker.processes.metrics_server import Rounds, serve_metrics
from worker.processes.store_metrics import StoreCollector
from worker.processes.wiring import LONGEST_ROUND_SECONDS, build_database, build_sweep, stop_on_signal
from worker.settings import Settings


def run_dispatcher(settings: Settings) -> None:
    """Dispatch scans and run the scheduled duties until SIGTERM or SIGINT."""
    database = build_database(settings)
    publisher = Publisher(make_celery(settings, confirms=True))
    rounds = Rounds("dispatcher", LONGEST_ROUND_SECONDS, time.monotonic)
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
    terms = DutyTerms(
        sweep_seconds=settings.sweep_interval_seconds,
        feature_days=settings.feature_days,
        canary_source=settings.canary_source,
        artifact_bucket=settings.artifact_bucket,
        webhook_private_addresses=settings.webhook_private_addresses,
        webhook_ports=settings.webhook_ports,
        webhook_disable_days=settings.webhook_disable_days,
    )
    duties = scheduled_duties(database, terms, build_sweep(settings, database), transfer(settings), publisher)
    stop = stop_on_signal()
    REGISTRY.register(StoreCollector(database))
    serve_metrics(settings, rounds.alive)
    wake_up.start(stop)
    Schedule(database, duties).start(stop)
    dispatcher.run(stop)
