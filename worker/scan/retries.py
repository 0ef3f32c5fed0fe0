"""How long what failed waits, and how long each step of a scan takes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from worker.metrics import STAGE_SECONDS


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how soon a failed scan is tried again; seconds."""

    max_attempts: int
    base_seconds: float
    max_seconds: float

    def delay(self, attempts: int, jitter: float) -> float:
        """Return the wait after so many attempts; jitter is 0 to 1."""
        # Doubling stops long before a float would overflow; the limit is reached by then.
        return min(self.base_seconds * 2.0 ** min(attempts - 1, 60), self.max_seconds) * (0.5 + jitter)

    def is_last(self, attempts: int) -> bool:
        """Tell whether the attempt after so many is the last one."""
        return attempts + 1 >= self.max_attempts


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
        start = self.monotonic()
        try:
            yield
        finally:
            self.note(name, 1000 * (self.monotonic() - start))

    def note(self, name: str, ms: float) -> None:
        """Add the milliseconds that somebody else measured to a stage."""
        self.timings[name] = round(self.timings.get(name, 0.0) + ms, 2)
        STAGE_SECONDS.labels(name).observe(ms / 1000)
