"""Leases that are renewed while their scans make progress, and given up by threads that lost them."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol
from uuid import UUID

from worker.database.scans import Lease
from worker.errors import LeaseLostError, TransientError
from worker.log import get_logger
from worker.scan.retries import Stopwatch

log = get_logger()

# Of a lease's time, so that two renewals may fail before it ends.
_EVERY = 1 / 3


class Renewals(Protocol):
    """What leases need of :class:`~worker.database.scans.Scans`."""

    def lease(self, scan_id: int, seconds: float) -> Lease | None:
        """Lease a dispatched scan, or return None when there is nothing to do for it."""

    def renew(self, leases: Sequence[Lease], seconds: float) -> set[UUID]:
        """Let leases last so many seconds from now; return the tokens of those that still hold."""


class Held:
    """A lease in a thread's hands."""

    def __init__(self, lease: Lease, monotonic: Callable[[], float]) -> None:
        self.lease = lease
        self.watch = Stopwatch(monotonic, before_stage=self.check)
        self.is_lost = False
        self._monotonic = monotonic
        self._progress_at = monotonic()

    def check(self) -> None:
        """Note that the scan makes progress.

        Raises:
            LeaseLostError: another worker may hold the scan by now.
        """
        if self.is_lost:
            raise LeaseLostError(f"scan {self.lease.scan_id} is not leased to this worker any more")
        self._progress_at = self._monotonic()

    def stands_still(self, longest: float) -> bool:
        """Tell whether the scan has made no progress for longer than so many seconds."""
        return self._monotonic() - self._progress_at > longest


class Leases:
    """Takes leases for the threads of a worker, and renews them from a thread of its own."""

    def __init__(
        self, scans: Renewals, *, seconds: float, longest_stage: float, monotonic: Callable[[], float]
    ) -> None:
        """Keep the parts.

        Args:
            scans: the table.
            seconds: life of a lease, and of each renewal.
            longest_stage: a scan that stays longer in one stage is not renewed any more.
            monotonic: clock, in seconds.
        """
        self._scans = scans
        self._seconds = seconds
        self._longest_stage = longest_stage
        self._monotonic = monotonic
        self._guard = threading.Lock()
        self._held: dict[UUID, Held] = {}

    @contextmanager
    def hold(self, scan_id: int) -> Iterator[Held | None]:
        """Lease a scan for as long as the block lasts; None when there is nothing to do for it."""
        lease = self._scans.lease(scan_id, self._seconds)
        if lease is None:
            yield None
            return
        held = Held(lease, self._monotonic)
        with self._guard:
            self._held[lease.token] = held
        try:
            yield held
        finally:
            with self._guard:
                del self._held[lease.token]

    def renew(self) -> None:
        """Renew the leases of scans that make progress, and mark those that are lost; raises TransientError."""
        with self._guard:
            moving = [held for held in self._held.values() if not held.stands_still(self._longest_stage)]
        if not moving:
            return
        kept = self._scans.renew([held.lease for held in moving], self._seconds)
        for held in moving:
            held.is_lost = held.lease.token not in kept

    def start(self, stop: threading.Event) -> None:
        """Renew from a thread of its own until ``stop`` is set."""
        threading.Thread(target=self._run, args=(stop,), name="leases", daemon=True).start()

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(self._seconds * _EVERY):
            try:
                self.renew()
            except TransientError as error:
                log.warning("leases_not_renewed", error=error.detail)
            except Exception:  # the boundary of the thread: nobody would notice that it ended.
                log.exception("renewal_failed")
