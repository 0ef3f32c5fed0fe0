"""The training worker's process: Celery's bell, and the worker wired of the settings."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from celery.signals import setup_logging, worker_shutting_down

from training.fitting.checkpoints import Checkpoints
from training.retraining.training_worker import TrainingWorker
from worker.database.migrate import require_migrated
from worker.database.session import connect
from worker.database.training_leases import RunLease, TrainingLeases
from worker.dispatch.celery_app import make_celery
from worker.dispatch.queues import TRAINING_QUEUE
from worker.dispatch.tasks import register_training_task
from worker.errors import TransientError
from worker.log import configure_logging, get_logger
from worker.objects.transfer import transfer
from worker.processes.metrics_server import serve_metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.settings import Settings

log = get_logger()


def run_training_worker(settings: Settings) -> None:
    """Take training runs until told to stop."""
    setup_logging.connect(lambda **_: configure_logging(settings.log_level, settings.log_format), weak=False)
    database = connect(settings.database_url.get_secret_value(), pool_size=4)
    require_migrated(database)
    store = transfer(settings)
    worker = TrainingWorker(
        TrainingLeases(database),
        command=_command,
        root=settings.data_dir / "training",
        checkpoints=lambda run_id, folder: Checkpoints(store, settings.artifact_bucket, run_id, folder),
        lease_seconds=settings.training_lease_seconds,
        checkpoint_seconds=settings.training_checkpoint_seconds,
    )
    serve_metrics(settings)
    app = make_celery(settings)
    register_training_task(app, worker)
    _clear(worker)
    worker_shutting_down.connect(lambda **_: worker.stop(), weak=False)
    options = ["--pool=threads", "--concurrency=1", f"--queues={TRAINING_QUEUE}", "--hostname=training@%h"]
    app.worker_main(["worker", *options, "--without-gossip", "--without-mingle", "--loglevel=WARNING"])


def _clear(worker: TrainingWorker) -> None:
    try:
        worker.clear()
    except TransientError as error:
        log.warning("training_not_cleared", error=error.detail)  # the next bell does it


def _command(lease: RunLease) -> Sequence[str]:
    module = [sys.executable, "-m", "training.retraining.run_process"]
    return [*module, "--run", str(lease.run_id), "--token", str(lease.token)]
