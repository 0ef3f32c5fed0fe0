"""Flower for Assay's queues, with its credentials kept off the command line that `ps` shows."""

import re

from worker.dispatch.celery_app import make_celery
from worker.errors import AssayError
from worker.processes.metrics_server import serve_metrics
from worker.settings import Settings

# Flower asks nobody for a password at this address, and what it shows there has the names of workers and tasks.
_OPEN = "/metrics"


class NoFlowerPasswordError(AssayError):
    """Flower only runs behind a password; set ASSAY_FLOWER_BASIC_AUTH to user:password."""


def run_flower(settings: Settings) -> None:
    """Serve Flower until told to stop.

    Raises:
        NoFlowerPasswordError: the settings give no user and password.
    """
    login = settings.flower_basic_auth
    if login is None or not re.fullmatch(r"[^:]+:.+", login.get_secret_value()):
        raise NoFlowerPasswordError
    close_metrics()
    serve_metrics(settings)
    app = make_celery(settings)
    # Celery parses this list itself; none of it reaches the process table.
    app.start(
        [
            "flower",
            f"--address={settings.flower_host}",
            f"--port={settings.flower_port}",
            f"--basic-auth={login.get_secret_value()}",
        ]
    )


def close_metrics() -> None:
    """Take Flower's ``/metrics``, which its password does not guard, out of what it serves.

    The same figures are on the port of our own metrics, which nobody publishes.
    """
    from flower.urls import handlers  # noqa: PLC0415 - only Flower's own process has it installed

    handlers[:] = [handler for handler in handlers if _path(handler) != _OPEN]


def _path(handler: object) -> str:
    # Some are Tornado's URLSpec, whose pattern ends with `$`, others plain tuples.
    pattern = handler[0] if isinstance(handler, tuple) else handler.regex.pattern  # type: ignore[attr-defined]
    return str(pattern).removesuffix("$")
