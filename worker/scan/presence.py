"""Presence: a worker shows that it lives by a lock, which ends with its process, and by a heartbeat.

Both go over a connection of its own. Where that breaks, the worker connects again and goes on under the same id; it is
only given up where it stays away, and then its scans are others'.
"""

import threading
from collections.abc import Callable, Collection
from typing import Any, Protocol

import psycopg

from worker.database.workers import WORKER_LOCKS
from worker.log import get_logger

log = get_logger()

_BEAT_SECONDS = 0.5
_ARRIVE = "INSERT INTO worker (bundles, bulk_scans) VALUES (%s, %s) RETURNING id"
_LOCK = "SELECT pg_try_advisory_lock(%s, %s)"
_BEAT = (
    "UPDATE worker SET seen_at = clock_timestamp(), bundles = %s WHERE id = %s "
    "RETURNING (SELECT version FROM bundle WHERE role = 'champion')"
)
_LEAVE = "DELETE FROM worker WHERE id = %s"

Connection = psycopg.Connection[tuple[Any, ...]]


class LoadedBundles(Protocol):
    """What presence needs of :class:`~worker.bundles.shelf.BundleShelf`."""

    def ready(self) -> Collection[str]:
        """Return the versions that are loaded."""

    def prepare(self, version: str) -> None:
        """Begin to load a bundle, unless that is done or under way."""


class Presence:
    """Tells the dispatcher that this process lives, and hears of a new champion, which it begins to load at once."""

    def __init__(self, connect: Callable[[], Connection], bundles: LoadedBundles, *, bulk_scans: int) -> None:
        """Keep the parts.

        Args:
            connect: opens a connection in autocommit mode that nobody else uses.
            bundles: loaded by this worker.
            bulk_scans: most scans of history that it has in hand at once.
        """
        self._connect = connect
        self._bundles = bundles
        self._bulk_scans = bulk_scans
        self._id: int | None = None
        self._thread: threading.Thread | None = None

    def worker_id(self) -> int | None:
        """Return this worker's id; None while the dispatcher does not know it."""
        return self._id

    def start(self, stop: threading.Event) -> None:
        """Hold the worker's lock and renew its heartbeat from a thread, until ``stop`` is set; then give both up."""
        self._thread = threading.Thread(target=self._run, args=(stop,), name="presence", daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait until this worker has left."""
        if self._thread is not None:
            self._thread.join(10 * _BEAT_SECONDS)

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                with self._connect() as connection:
                    self._show_up(connection, stop)
            except psycopg.Error as error:
                log.warning("presence_lost", error=type(error).__name__)
                stop.wait(_BEAT_SECONDS)
            except Exception:  # the boundary of the thread: nobody would notice that it ended.
                log.exception("presence_failed")
                stop.wait(_BEAT_SECONDS)

    def _show_up(self, connection: Connection, stop: threading.Event) -> None:
        locked_id = None
        while True:
            champion = self._beat(connection)
            # A connection that broke may hold the lock for as long as the server has not noticed.
            if locked_id != self._id and _value(connection, _LOCK, (WORKER_LOCKS, self._id)):
                locked_id = self._id
            if champion is not None:
                self._bundles.prepare(champion)
            if stop.wait(_BEAT_SECONDS):
                break
        connection.execute(_LEAVE, (self._id,))

    def _beat(self, connection: Connection) -> str | None:
        """Say that this process lives, as a new worker where it was given up; return the champion."""
        bundles = sorted(self._bundles.ready())
        if self._id is not None:
            beat = connection.execute(_BEAT, (bundles, self._id)).fetchone()
            if beat is not None:
                return None if beat[0] is None else str(beat[0])
            log.warning("worker_given_up", worker=self._id)
        self._id = int(_value(connection, _ARRIVE, (bundles, self._bulk_scans)))
        return None


def _value(connection: Connection, statement: str, values: tuple[Any, ...]) -> Any:
    row = connection.execute(statement, values).fetchone()
    assert row is not None  # noqa: S101 - every statement here returns one row
    return row[0]
