"""Whether the parts that the API needs answer, asked at most once a second however many ask us."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Event, Lock, Thread

from worker.log import get_logger

log = get_logger()

_FRESH_SECONDS = 1.0
_PATIENCE_SECONDS = 2.0  # less than a load balancer's; a frozen database would keep us for half a minute


@dataclass(frozen=True)
class Part:
    """One part's report: whether it answers, and what to do when it does not."""

    ok: bool
    hint: str | None


class _Round:
    """One turn of asking every part."""

    def __init__(self, begun: float) -> None:
        self.begun = begun
        self.ended: float | None = None
        self.parts: dict[str, Part] = {}
        self.done = Event()


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
        self._round: _Round | None = None

    def __call__(self) -> Mapping[str, Part]:
        """Return the report for every part, at most a second old; what has not answered in two seconds is not ready.

        A part that hangs so holds one thread of ours, and no caller for longer than that.
        """
        current = self._current()
        current.done.wait(max(0.0, current.begun + _PATIENCE_SECONDS - self._clock()))
        return {name: current.parts.get(name) or Part(ok=False, hint=hint) for name, (_, hint) in self._checks.items()}

    def _current(self) -> _Round:
        with self._lock:
            last = self._round
            stale = last is None or (last.ended is not None and self._clock() >= last.ended + _FRESH_SECONDS)
            if last is not None and not stale:
                return last
            self._round = begun = _Round(self._clock())
        # Of its own and a daemon: it may hang, which must hold up neither a request nor the end of the process.
        Thread(target=self._ask_all, args=(begun,), name="readiness", daemon=True).start()
        return begun

    def _ask_all(self, current: _Round) -> None:
        for name, (check, hint) in self._checks.items():
            current.parts[name] = _ask(name, check, hint)
        current.ended = self._clock()
        current.done.set()


def _ask(name: str, check: Callable[[], bool], hint: str) -> Part:
    try:
        ok = check()
    except Exception:
        # Whatever a part throws, it is not ready; the log says what it was.
        log.warning("part_not_ready", part=name, exc_info=True)
        ok = False
    return Part(ok, None if ok else hint)
