"""The dispatcher: takes due scans, commits, and only then rings Celery's bell.

Small and always on; two of them do not collide, since each takes other rows.
It also runs the scheduled duties, each under a lock, so there is no beat.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from worker.database.images import BULK_QUEUE, LIVE_QUEUE
from worker.database.scans import hand_back, take_due
from worker.database.session import Database
from worker.database.tables import Duty
from worker.errors import TransientError
from worker.log import get_logger
from worker.metrics import DISPATCHED

log = get_logger()

QUEUES = (LIVE_QUEUE, BULK_QUEUE)
_PAUSE_AFTER_TROUBLE_SECONDS = 1.0
# A duty that an operator makes due by hand is found this late at most.
_LONGEST_PAUSE_SECONDS = 10.0
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
            max_in_flight: most scans dispatched or leased, for each queue, and
                messages that wait from which on none are added.
            dispatch_seconds: after which an unleased scan is dispatched again.
            interval_seconds: pause when nothing was due.
            note_round: told of each round, whether it went well or not.
            wake_up: waits for notifications of queued scans; without it the dispatcher polls at its interval.
        """
        self._database = database
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
        return sum(self._dispatch_queue(queue) for queue in QUEUES)

    def _dispatch_queue(self, queue: str) -> int:
        if self._bell.waiting(queue) >= self._max_in_flight:
            return 0  # No worker runs; what comes due again must not pile up in the broker.
        with self._database.transaction() as session:
            scan_ids = take_due(
                session, queue, max_in_flight=self._max_in_flight, dispatch_seconds=self._dispatch_seconds
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


@dataclass(frozen=True)
class ScheduledDuty:
    """Something to do every so many seconds."""

    every_seconds: float
    run: Callable[[], object]


class Schedule:
    """Runs duties when they are due, each by one process at a time."""

    def __init__(self, database: Database, duties: Mapping[str, ScheduledDuty]) -> None:
        self._database = database
        self._duties = duties

    def start(self, stop: threading.Event) -> None:
        """Run every duty in a thread of its own until ``stop`` is set or the process ends, whichever is first.

        So a long sweep neither blinds the gauges nor delays the end; what it leaves, the next one finds.
        """
        for name, duty in self._duties.items():
            alone = Schedule(self._database, {name: duty})
            threading.Thread(target=alone.run, args=(stop,), name=name, daemon=True).start()

    def run(self, stop: threading.Event, poll_seconds: float = 1.0) -> None:
        """Run due duties until ``stop`` is set; a duty that fails waits for its next turn.

        Args:
            stop: ends it.
            poll_seconds: pause after trouble; else the pause lasts until the next duty is due.
        """
        while not stop.is_set():
            pause = poll_seconds
            try:
                self.run_due()
                pause = min(max(self._seconds_to_next(), 0.05), _LONGEST_PAUSE_SECONDS)
            except TransientError as error:
                log.warning("schedule_postponed", error=error.detail)
            except Exception:  # the boundary of the thread: nobody would notice that it ended.
                log.exception("schedule_failed")
            stop.wait(pause)

    def _seconds_to_next(self) -> float:
        """Return the seconds until the next duty is due, by the database's clock; negative when one is late."""
        ahead = select(func.extract("epoch", func.min(Duty.due_at) - func.clock_timestamp()))
        with self._database.transaction() as session:
            return float(session.scalar(ahead.where(Duty.name.in_(self._duties))) or 0.0)

    def run_due(self) -> list[str]:
        """Run every duty that is due and not running elsewhere; return the names of those run."""
        with self._database.transaction() as session:
            for name in self._duties:
                session.execute(upsert(Duty).values(name=name).on_conflict_do_nothing())
        return [name for name, duty in self._duties.items() if self._claim(name, duty) and self._perform(name, duty)]

    def _claim(self, name: str, duty: ScheduledDuty) -> bool:
        due = (
            select(Duty.name)
            .where(Duty.name == name, Duty.due_at <= func.now())
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
        next_time = func.now() + text("make_interval(secs => :every)").bindparams(every=duty.every_seconds)
        with self._database.transaction() as session:
            claim = update(Duty).where(Duty.name == due).values(due_at=next_time, last_started_at=func.now())
            return session.scalar(claim.returning(Duty.name)) is not None

    def _perform(self, name: str, duty: ScheduledDuty) -> bool:
        """Run a duty under a lock, so that one that outlasts its period does not run beside itself."""
        with self._database.lock(f"duty.{name}") as held:
            if not held:
                return False
            error: str | None = None
            try:
                duty.run()
            except Exception as raised:  # the boundary of a duty: one that fails must not stop the others.
                log.exception("duty_failed", duty=name)
                error = repr(raised)
        with self._database.transaction() as session:
            done = update(Duty).where(Duty.name == name).values(last_finished_at=func.now(), last_error=error)
            session.execute(done)
        return True
