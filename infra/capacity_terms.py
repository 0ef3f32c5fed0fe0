"""What the capacity of a deployment depends on: how images arrive, and which workers judge them."""

import math
from dataclasses import dataclass

from worker.errors import AssayError

_MOST_WORKERS = 10_000


class CapacityError(AssayError):
    """A figure lies out of its range."""


@dataclass(frozen=True)
class Load:
    """How images arrive: at random, and faster in bursts, which come in equal distances.

    Attributes:
        rate: images a second on average over all the time, bursts included; 0 or more.
        burst: how many times the average rate images arrive in a burst; 1 or more, 1 for no bursts.
        burst_share: share of the time that is burst, from 0 to below 1.
        burst_seconds: how long one burst lasts; 1 or more.
    """

    rate: float
    burst: float = 1.0
    burst_share: float = 0.0
    burst_seconds: float = 60.0

    def __post_init__(self) -> None:
        """Refuse what cannot be; raises CapacityError."""
        refuse_unless(0 <= self.rate < math.inf, "rate", self.rate, "0 or more images a second")
        refuse_unless(1 <= self.burst < math.inf, "burst", self.burst, "a factor of 1 or more")
        refuse_unless(0 <= self.burst_share < 1, "burst share", self.burst_share, "a share from 0 to below 1")
        refuse_unless(1 <= self.burst_seconds < math.inf, "burst seconds", self.burst_seconds, "1 or more")
        if self.burst * self.burst_share > 1:
            raise CapacityError(
                f"bursts of {self.burst:g} times the average for {self.burst_share:g} of the time are more than all "
                f"images: at this factor give a share of at most {1 / self.burst:.3g}"
            )

    @property
    def period(self) -> float:
        """Return the seconds from one burst to the next; infinite where there are none."""
        return self.burst_seconds / self.burst_share if self.burst_share else math.inf


@dataclass(frozen=True)
class Fleet:
    """Workers that are always on.

    Attributes:
        workers: how many; from 1 to 10,000.
        images_a_second: of one worker with full batches and its cores to itself; more than 0.
        max_batch: most images in one batch, `ASSAY_MAX_BATCH`; 1 or more.
        fixed_seconds: of each batch, whatever its size; less than a full batch takes.
        wait_seconds: longest wait of the oldest image for company, `ASSAY_MAX_WAIT_MS`; 0 or more.
        aside_seconds: an image takes beside waiting and its batch, such as dispatch, fetching and recording.
        max_in_flight: most scans dispatched or leased, `ASSAY_MAX_IN_FLIGHT`; 1 or more.
        at_full_speed: how many can work at once before they slow each other down; None where each has its own cores.
    """

    workers: int
    images_a_second: float
    max_batch: int = 16
    fixed_seconds: float = 0.05
    wait_seconds: float = 0.025
    aside_seconds: float = 0.1
    max_in_flight: int = 512
    at_full_speed: int | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be; raises CapacityError."""
        refuse_unless(self.workers <= _MOST_WORKERS, "workers", self.workers, f"{_MOST_WORKERS} or fewer")
        for name in ("workers", "max_batch", "max_in_flight"):
            refuse_unless(getattr(self, name) >= 1, name.replace("_", " "), getattr(self, name), "1 or more")
        speed = self.images_a_second
        refuse_unless(0 < speed < math.inf, "images a second", speed, "more than 0, of one worker")
        for name in ("wait_seconds", "aside_seconds"):
            wrong = getattr(self, name)
            refuse_unless(0 <= wrong < math.inf, name.replace("_", " "), wrong, "0 or more seconds")
        whole = self.max_batch / speed
        most = f"from 0 to below {whole:.3g}, which is what a full batch takes"
        refuse_unless(0 <= self.fixed_seconds < whole, "fixed seconds", self.fixed_seconds, most)
        slow = self.at_full_speed
        refuse_unless(slow is None or slow >= 1, "workers at full speed", slow or 0, "1 or more")

    def batch_seconds(self, images: int, busy: int = 1) -> float:
        """Return how long a batch of so many images takes while so many workers are busy, this one included."""
        each = 1 / self.images_a_second - self.fixed_seconds / self.max_batch
        slowdown = 1.0 if self.at_full_speed is None else max(1.0, busy / self.at_full_speed)
        return (self.fixed_seconds + each * images) * slowdown


def refuse_unless(holds: bool, name: str, value: float, remedy: str) -> None:  # noqa: FBT001 - the check itself
    """Raise CapacityError with what to give instead, unless a condition holds."""
    if not holds:
        raise CapacityError(f"{name} cannot be {value:g}: give {remedy}")
