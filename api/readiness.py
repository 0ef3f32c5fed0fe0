"""Whether the parts that the API needs answer, asked at most once a second however many ask us."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock

from worker.log import get_logger

log = get_logger()

_FRESH_SECONDS = 1.0
_FIRST_REPORT_SECONDS = 2.0


@dataclass(frozen=True)
class Part:
    """One part's report: whether it answers, and what to do when it does not."""

    ok: bool
    hint: str | None


class Readiness:
    """Runs one check for each part, the later ones only meaningful when the earlier ones pass."""

    def __init__(
        self, checks: Mapping[str, tuple[Callable[[], bool], str]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Keep the checks.

        Args:
            checks: part -> a check that returns False or raises when the part
                is not there, and the hint shown then (no secrets: anyone reads it).
            clock: seconds that only go forward.
        """
        self._checks = checks
        self._clock = clock
        self._lock = Lock()
        # Until somebody has asked, nothing is ready; the first report is worth a wait, later ones are not.
        self._report = {name: Part(ok=False, hint=hint) for name, (_, hint) in checks.items()}
        self._longest_wait = _FIRST_REPORT_SECONDS
        self._until = 0.0

    def __call__(self) -> Mapping[str, Part]:
        """Return the report for every part, at most a second old, or the last one while another thread asks anew.

        A part that answers slowly so holds one thread and not every thread of the pool.
        """
        if self._clock() >= self._until and self._lock.acquire(timeout=self._longest_wait):
            try:
                self._renew()
            finally:
                self._lock.release()
        return self._report

    def _renew(self) -> None:
        if self._clock() >= self._until:  # nobody else has, while we waited
            self._report = {name: _ask(name, check, hint) for name, (check, hint) in self._checks.items()}
            self._until = self._clock() + _FRESH_SECONDS
            self._longest_wait = 0.0


def _ask(name: str, check: Callable[[], bool], hint: str) -> Part:
    try:
        ok = check()
    except Exception:
        # Whatever a part throws, it is not ready; the log says what it was.
        log.warning("part_not_ready", part=name, exc_info=True)
        ok = False
    return Part(ok, None if ok else hint)
