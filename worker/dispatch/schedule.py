"""The schedule: duties that the dispatcher's process runs when they are due, each under a lock, so there is no beat."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Text, bindparam, func, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as upsert

from worker.database.clock import from_now
from worker.database.driver_statement import DriverStatement
from worker.database.session import Database
from worker.database.tables import Duty
from worker.errors import TransientError
from worker.log import get_logger

log = get_logger()

# A duty that an operator makes due by hand is found this late at most, and one that rests has a turn as often, so that
# its age tells whether it lives.
_LONGEST_PAUSE_SECONDS = 10.0


# Of the table itself and made once: they run several times a second for as long as the process lives.
_ROWS: Any = Duty.__table__
_FREE = select(_ROWS.c.name).where(_ROWS.c.name == bindparam("duty"), _ROWS.c.due_at <= func.now())
_NEXT_TIME = func.now() + text("make_interval(secs => :every)")
_CLAIM = DriverStatement(
    update(_ROWS)
    .where(_ROWS.c.name == _FREE.with_for_update(skip_locked=True).scalar_subquery())
    .values(due_at=_NEXT_TIME, last_started_at=func.now())
    .returning(_ROWS.c.name)
)
_DONE = DriverStatement(
    update(_ROWS)
    .where(_ROWS.c.name == bindparam("duty"))
    .values(last_finished_at=func.now(), last_error=bindparam("error", type_=Text()))
)
_AHEAD = DriverStatement(
    select(func.extract("epoch", func.min(_ROWS.c.due_at) - func.clock_timestamp())).where(
        _ROWS.c.name == func.any(bindparam("names", type_=ARRAY(Text)))
    )
)


@dataclass(frozen=True)
class ScheduledDuty:
    """Something to do every so many seconds.

    Attributes:
        every_seconds: its period.
        run: does it.
        rests: tells that there is nothing to do, at the cost of one statement; then its turn is left out, though not
            for longer than ten seconds. A turn costs five statements.
    """

    every_seconds: float
    run: Callable[[], object]
    rests: Callable[[], bool] | None = None


class Schedule:
    """Runs duties when they are due, each by one process at a time."""

    def __init__(
        self,
        database: Database,
        duties: Mapping[str, ScheduledDuty],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._duties = duties
        self._monotonic = monotonic
        self._has_rows = False
        self._turns: dict[str, float] = {}  # when each duty was last looked for in the table

    def start(self, stop: threading.Event) -> None:
        """Run every duty in a thread of its own until ``stop`` is set or the process ends, whichever is first.

        So a long sweep neither blinds the gauges nor delays the end; what it leaves, the next one finds.
        """
        for name, duty in self._duties.items():
            alone = Schedule(self._database, {name: duty}, self._monotonic)
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
                start = self._monotonic()
                awake = [name for name, duty in self._duties.items() if not self._rests(name, duty)]
                if self._run(awake) == awake:  # so all are due again by their periods
                    ahead = start + min(duty.every_seconds for duty in self._duties.values()) - self._monotonic()
                else:
                    ahead = self._seconds_to_next()
                pause = min(max(ahead, 0.05), _LONGEST_PAUSE_SECONDS)
            except TransientError as error:
                log.warning("schedule_postponed", error=error.detail)
            except Exception:  # the boundary of the thread: nobody would notice that it ended.
                log.exception("schedule_failed")
            stop.wait(pause)

    def _seconds_to_next(self) -> float:
        """Return the seconds until the next duty is due, by the database's clock; negative when one is late."""
        seconds = self._database.fetch_value(_AHEAD, {"names": list(self._duties)})
        self._has_rows = seconds is not None  # somebody may have emptied the table
        return float(seconds or 0.0)

    def _rests(self, name: str, duty: ScheduledDuty) -> bool:
        """Tell whether a duty that had its turn not long ago has nothing to do."""
        if duty.rests is None:
            return False
        now = self._monotonic()
        if now - self._turns.get(name, -_LONGEST_PAUSE_SECONDS) < _LONGEST_PAUSE_SECONDS and duty.rests():
            return True
        self._turns[name] = now
        return False

    def run_due(self) -> list[str]:
        """Run every duty that is due and not running elsewhere; return the names of those run."""
        return self._run(list(self._duties))

    def _run(self, names: Sequence[str]) -> list[str]:
        if names and not self._has_rows:
            with self._database.transaction() as session:
                for name, duty in self._duties.items():
                    # What a longer period, or a restored dump, put off is due by today's period.
                    sooner = {"due_at": func.least(Duty.due_at, from_now(duty.every_seconds))}
                    session.execute(
                        upsert(Duty).values(name=name).on_conflict_do_update(index_elements=["name"], set_=sooner)
                    )
            self._has_rows = True
        duties = [(name, self._duties[name]) for name in names]
        return [name for name, duty in duties if self._claim(name, duty) and self._perform(name, duty)]

    def _claim(self, name: str, duty: ScheduledDuty) -> bool:
        return self._database.fetch_value(_CLAIM, {"duty": name, "every": duty.every_seconds}) is not None

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
        self._database.fetch_rows(_DONE, {"duty": name, "error": error})
        return True
