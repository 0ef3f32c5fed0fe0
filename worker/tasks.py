"""Celery's tasks: they translate a message into a call, and nothing else."""

from collections.abc import Callable

import structlog
from celery import Celery

from worker.celery_app import SCAN_TASK


def register_tasks(app: Celery, scan_image: Callable[[int], None]) -> None:
    """Give the app its tasks, bound to the collaborators that bootstrap built."""

    @app.task(name=SCAN_TASK)
    def scan(scan_id: int) -> None:
        with structlog.contextvars.bound_contextvars(scan_id=scan_id):
            scan_image(scan_id)
