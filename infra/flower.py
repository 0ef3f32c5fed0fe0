"""Flower for Assay's queues, with its credentials kept off the command line that `ps` shows."""

from worker.celery_app import make_celery
from worker.errors import AssayError
from worker.settings import Settings


class NoFlowerPasswordError(AssayError):
    """Flower only runs behind a password; set ASSAY_FLOWER_BASIC_AUTH to user:password."""


def run_flower(settings: Settings) -> None:
    """Serve Flower until told to stop.

    Raises:
        NoFlowerPasswordError: the settings give no user and password.
    """
    if settings.flower_basic_auth is None:
        raise NoFlowerPasswordError
    app = make_celery(settings)
    # Celery parses this list itself; none of it reaches the process table.
    app.start(
        [
            "flower",
            f"--address={settings.api_host}",
            f"--port={settings.flower_port}",
            f"--basic-auth={settings.flower_basic_auth.get_secret_value()}",
        ]
    )
