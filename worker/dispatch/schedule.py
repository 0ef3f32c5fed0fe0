"""The schedule: duties that the dispatcher's process runs when they are due, each under a lock, so there is no beat."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from worker.database.session import Database
from worker.database.tables import Duty
from worker.errors import TransientError
from worker.log import get_logger

log = get_logger()

# A duty that an operator makes due by hand is found this late at most.
_LONGEST_PAUSE_SECONDS = 10.0


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
