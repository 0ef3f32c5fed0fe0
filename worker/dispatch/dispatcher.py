"""The dispatcher: takes due scans, commits, and only then rings Celery's bell.

Small and always on; two of them do not collide, since each takes other rows.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from worker.database.due_scans import hand_back, queues_due, take_due
from worker.database.images import BULK_QUEUE, LIVE_QUEUE
from worker.database.session import Database
from worker.database.workers import Workers
from worker.decisions.in_flight import bulk_bound
from worker.errors import TransientError
from worker.log import get_logger
from worker.metrics import DISPATCHED

log = get_logger()

QUEUES = (LIVE_QUEUE, BULK_QUEUE)
_PAUSE_AFTER_TROUBLE_SECONDS = 1.0
# So many rounds in a row with nothing due, and the dispatcher trusts notifications and polls slowly.
_QUIET_ROUNDS = 20
_SLOW_POLL_SECONDS = 1.0


class BrokerDownError(TransientError):
    """The broker does not answer; check ASSAY_REDIS_URL. Scans wait in Postgres meanwhile."""


class Bell(Protocol):
    """What the dispatcher needs of :class:`~worker.dispatch.publish.Publisher`; everything raises BrokerDownError."""

    def __call__(self, queue: str, scan_ids: Sequence[int]) -> None:
        """Send scan ids to a Celery queue."""

    def waiting(self, queue: str) -> int:
        """Return how many messages no worker has taken yet."""


class Wait(Protocol):
    """What the dispatcher needs of :class:`~worker.dispatch.wake_up.WakeUp`."""

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        """Wait for a notification, at most so long; return whether one came."""


class Dispatcher:
    """Moves due scans from Postgres to Celery, no more at once than the bound."""

    def __init__(
        self,
        database: Database,
        bell: Bell,
        *,
        max_in_flight: int,
        dispatch_seconds: float,
        interval_seconds: float,
        note_round: Callable[[], None] = lambda: None,
        wake_up: Wait | None = None,
    ) -> None:
        """Keep the parts.

        Args:
            database: where scans are.
            bell: sends scan ids to a Celery queue.
            max_in_flight: most scans dispatched or leased, for each queue.
            dispatch_seconds: after which an unleased scan is dispatched again whose message is lost.
            interval_seconds: pause when nothing was due.
            note_round: told of each round, whether it went well or not.
            wake_up: waits for notifications of queued scans; without it the dispatcher polls at its interval.
        """
        self._database = database
        self._workers = Workers(database)
        self._bell = bell
        self._max_in_flight = max_in_flight
        self._dispatch_seconds = dispatch_seconds
        self._interval = interval_seconds
        self._note_round = note_round
        self._wake_up = wake_up
        self._quiet_rounds = 0

    def run(self, stop: threading.Event) -> None:
        """Dispatch until ``stop`` is set; trouble is logged and waited out."""
        while not stop.is_set():
            try:
                pause = self._pause_after(self.dispatch_once())
            except TransientError as error:
                log.warning("dispatch_postponed", error=error.detail)
                pause = _PAUSE_AFTER_TROUBLE_SECONDS
            except Exception:  # the boundary of the process: one defect must not end all dispatching.
                log.exception("dispatch_failed")
                pause = _PAUSE_AFTER_TROUBLE_SECONDS
            self._note_round()
            self._wait(stop, pause)

    def _pause_after(self, dispatched: int) -> float:
        """Return the seconds until the next round: none while scans are due, many once it has been quiet."""
        self._quiet_rounds = 0 if dispatched else self._quiet_rounds + 1
        if dispatched:
            return 0.0
        quiet = self._wake_up is not None and self._quiet_rounds > _QUIET_ROUNDS
        return max(self._interval, _SLOW_POLL_SECONDS) if quiet else self._interval

    def _wait(self, stop: threading.Event, seconds: float) -> None:
        if self._wake_up is None or not seconds:
            stop.wait(seconds)
        elif self._wake_up.wait(stop, seconds):
            self._quiet_rounds = 0

    def dispatch_once(self) -> int:
        """Dispatch what is due in every queue; return how many scans were published.

        Raises:
            TransientError: database or broker out of reach; what was taken is
                handed back, or comes again when its dispatch times out.
        """
        due = queues_due(self._database, QUEUES)  # all that a round costs while nothing happens
        return sum(self._dispatch_queue(queue) for queue in due)

    def _dispatch_queue(self, queue: str) -> int:
        messages = self._bell.waiting(queue)
        bound = self._bulk_bound() if queue == BULK_QUEUE else self._max_in_flight
        with self._database.transaction() as session:
            scan_ids = take_due(
                session, queue, max_in_flight=bound, dispatch_seconds=self._dispatch_seconds, messages=messages
            )
        if not scan_ids:
            return 0
        try:
            self._bell(queue, scan_ids)
        except BrokerDownError:
            with self._database.transaction() as session:
                hand_back(session, scan_ids, retry_in=_PAUSE_AFTER_TROUBLE_SECONDS)
            raise
        DISPATCHED.labels(queue).inc(len(scan_ids))
        return len(scan_ids)

    def _bulk_bound(self) -> int:
        return bulk_bound(self._workers.bulk_places(), self._max_in_flight)
