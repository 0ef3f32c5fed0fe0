"""Wakes the dispatcher when a scan is queued: Postgres notifies, and a slow poll stays beside it.

A notification can be lost (a pooler in transaction mode passes none on, a connection breaks), so nothing depends on
one: without them a scan waits for the next poll.
"""

import threading
from collections.abc import Callable
from typing import Any

import psycopg

from worker.log import get_logger

log = get_logger()

CHANNEL = "assay_scan_queued"
_PAUSE_AFTER_TROUBLE_SECONDS = 5.0
# How long a listening thread waits before it looks whether it shall end.
_LOOK_SECONDS = 5.0


class WakeUp:
    """Listens in a thread of its own; whoever waits is woken by the first notification."""

    def __init__(self, connect: Callable[[], "psycopg.Connection[tuple[Any, ...]]"]) -> None:
        """Keep the way to connect.

        Args:
            connect: opens a connection in autocommit mode that nobody else uses.
        """
        self._connect = connect
        self._rung = threading.Event()

    def start(self, stop: threading.Event) -> None:
        """Listen until ``stop`` is set."""
        threading.Thread(target=self._listen, args=(stop,), name="wake-up", daemon=True).start()

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        """Wait for a notification, at most so long; return whether one came. Ends early once ``stop`` is set."""
        if stop.is_set():
            return False
        rung = self._rung.wait(seconds)
        self._rung.clear()
        return rung

    def _listen(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                with self._connect() as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    self._rung.set()  # what was queued before the first LISTEN rang for nobody
                    self._pass_on(connection, stop)
            except psycopg.Error as error:
                log.warning("notifications_lost", error=type(error).__name__)
                stop.wait(_PAUSE_AFTER_TROUBLE_SECONDS)
        self._rung.set()

    def _pass_on(self, connection: "psycopg.Connection[tuple[Any, ...]]", stop: threading.Event) -> None:
        while not stop.is_set():
            for _ in connection.notifies(timeout=_LOOK_SECONDS, stop_after=1):
                self._rung.set()
