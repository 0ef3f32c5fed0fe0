"""How long what failed waits, and how long each step of a scan takes."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from worker.metrics import STAGE_PROCESSOR, STAGE_SECONDS

# With the usual first wait of 2 s they take half a minute.
_SHORT_OUTAGE_ATTEMPTS = 8


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how soon a failed scan is tried again; seconds."""

    max_attempts: int
    base_seconds: float
    max_seconds: float

    def delay(self, attempts: int, jitter: float, *, outage: bool = False) -> float:
        """Return the wait after so many attempts.

        Args:
            attempts: at least 1.
            jitter: 0 to 1.
            outage: a part was away. Most are back in seconds, and then nothing shall wait on: the wait is doubled once,
                and further only where it lasts.
        """
        doubled = attempts - 1 if not outage else max(min(attempts - 1, 1), attempts - _SHORT_OUTAGE_ATTEMPTS + 1)
        # Doubling stops long before a float would overflow; the limit is reached by then.
        return min(self.base_seconds * 2.0 ** min(doubled, 60), self.max_seconds) * (0.5 + jitter)

    def is_last(self, attempts: int, *, outage: bool = False) -> bool:
        """Tell whether the attempt after so many is the last one; an outage is given as long, which is more of them."""
        most = max(self.max_attempts, _SHORT_OUTAGE_ATTEMPTS) if outage else self.max_attempts
        return attempts + 1 >= most


@dataclass
class Stopwatch:
    """Measures the stages of one scan, in milliseconds."""

    monotonic: Callable[[], float]
    timings: dict[str, float] = field(default_factory=dict)
    before_stage: Callable[[], None] = lambda: None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent inside to a stage."""
        self.before_stage()
        start, processor = self.monotonic(), time.thread_time()
        try:
            yield
        finally:
            STAGE_PROCESSOR.labels(name).inc(time.thread_time() - processor)
            self.note(name, 1000 * (self.monotonic() - start))

    def note(self, name: str, ms: float) -> None:
        """Add the milliseconds that somebody else measured to a stage."""
        self.timings[name] = round(self.timings.get(name, 0.0) + ms, 2)
        STAGE_SECONDS.labels(name).observe(ms / 1000)
