"""Celery's tasks: they translate a message into a call, and nothing else."""

import time
from collections.abc import Callable

import structlog
from celery import Celery

from worker.dispatch.celery_app import SCAN_TASK, TRAIN_TASK
from worker.metrics import STAGE_PROCESSOR


def register_tasks(app: Celery, scan_image: Callable[[int], None]) -> None:
    """Give the app its tasks, bound to the collaborators that bootstrap built."""

    @app.task(name=SCAN_TASK)
    def scan(scan_id: int) -> None:
        start = time.thread_time()
        with structlog.contextvars.bound_contextvars(scan_id=scan_id):
            scan_image(scan_id)
        STAGE_PROCESSOR.labels("task").inc(time.thread_time() - start)


def register_training_task(app: Celery, train_waiting: Callable[[], None]) -> None:
    """Give a training worker's app its task; acknowledged at once, since the lease owns a run and not the message."""

    @app.task(name=TRAIN_TASK, acks_late=False, reject_on_worker_lost=False)
    def train() -> None:
        train_waiting()
