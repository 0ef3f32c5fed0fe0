"""Leases that are renewed while their scans make progress, and given up by threads that lost them."""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol
from uuid import UUID

from worker.database.scans import Lease
from worker.database.session import DatabaseDownError
from worker.errors import LeaseLostError, TransientError
from worker.log import get_logger
from worker.scan.retries import Stopwatch

log = get_logger()

# Of a lease's time, so that two renewals may fail before it ends.
_EVERY = 1 / 3
# How soon scans come again that the worker took while the database was away.
_TICK_SECONDS = 1.0
# A scan whose bundle is being loaded here comes again after so long, to this worker or another.
_LOADING_SECONDS = 2.0


class Renewals(Protocol):
    """What leases need of :class:`~worker.database.scans.Scans`."""

    def lease(
        self, scan_id: int, seconds: float, *, worker_id: int | None = None, ready: Collection[str] | None = None
    ) -> Lease | None:
        """Lease a dispatched scan, or return None when there is nothing to do for it."""

    def put_back(self, scan_id: int, ready: Collection[str], pause: float) -> str | None:
        """Queue a scan again whose bundle is not loaded here; return the version that it waits for."""

    def renew(self, leases: Sequence[Lease], seconds: float) -> set[UUID]:
        """Let leases last so many seconds from now; return the tokens of those that still hold."""

    def queue_again(self, scans: Mapping[int, UUID | None]) -> None:
        """Queue scans again that this worker took and cannot end."""


class ReadyBundles(Protocol):
    """What leases need of :class:`~worker.bundles.shelf.BundleShelf`."""

    def ready(self) -> Collection[str]:
        """Return the versions whose scans need not wait."""

    def prepare(self, version: str) -> None:
        """Begin to load a bundle, unless that is done or under way."""


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
        self,
        scans: Renewals,
        *,
        seconds: float,
        longest_stage: float,
        monotonic: Callable[[], float],
        bundles: ReadyBundles,
        worker_id: Callable[[], int | None] = lambda: None,
    ) -> None:
        """Keep the parts.

        Args:
            scans: the table.
            seconds: life of a lease, and of each renewal.
            longest_stage: a scan that stays longer in one stage is not renewed any more.
            monotonic: clock, in seconds.
            bundles: says which are loaded; only their scans are taken.
            worker_id: gives this worker's id, by which the dispatcher knows what it held; None while it has none.
        """
        self._scans = scans
        self._bundles = bundles
        self._worker_id = worker_id
        self._seconds = seconds
        self._longest_stage = longest_stage
        self._monotonic = monotonic
        self._guard = threading.Lock()
        self._held: dict[UUID, Held] = {}
        self._left: dict[int, UUID | None] = {}

    @contextmanager
    def hold(self, scan_id: int) -> Iterator[Held | None]:
        """Lease a scan for as long as the block lasts; None when there is nothing to do for it.

        Where the database is away, before or after, the scan is queued again once it is back.

        Raises:
            TransientError: the database is away, or the block raised it.
        """
        lease = None
        try:
            ready = self._bundles.ready()
            lease = self._scans.lease(scan_id, self._seconds, worker_id=self._worker_id(), ready=ready)
            if lease is None:
                self._load_what_lacks(scan_id, ready)
                yield None
                return
            with self._renewed(lease) as held:
                yield held
        except DatabaseDownError:
            with self._guard:
                self._left[scan_id] = lease.token if lease else None
            raise

    @contextmanager
    def _renewed(self, lease: Lease) -> Iterator[Held]:
        held = Held(lease, self._monotonic)
        with self._guard:
            self._held[lease.token] = held
        try:
            yield held
        finally:
            with self._guard:
                del self._held[lease.token]

    def _load_what_lacks(self, scan_id: int, ready: Collection[str]) -> None:
        """Begin to load the bundle that a scan names, and let the scan come again: no thread waits for it."""
        lacking = self._scans.put_back(scan_id, ready, _LOADING_SECONDS)
        if lacking is not None:
            self._bundles.prepare(lacking)

    def renew(self) -> None:
        """Renew the leases of scans that make progress, and mark those that are lost; raises TransientError."""
        with self._guard:
            moving = [held for held in self._held.values() if not held.stands_still(self._longest_stage)]
        if not moving:
            return
        kept = self._scans.renew([held.lease for held in moving], self._seconds)
        for held in moving:
            held.is_lost = held.lease.token not in kept

    def queue_left(self) -> None:
        """Queue scans again that were left while the database was away; raises TransientError."""
        with self._guard:
            left = dict(self._left)
        if left:
            self._scans.queue_again(left)
            log.info("left_scans_queued", scans=len(left))
            with self._guard:
                for scan_id, token in left.items():
                    if self._left.get(scan_id) == token:
                        del self._left[scan_id]

    def start(self, stop: threading.Event) -> None:
        """Renew from a thread of its own until ``stop`` is set."""
        threading.Thread(target=self._run, args=(stop,), name="leases", daemon=True).start()

    def _run(self, stop: threading.Event) -> None:
        renewed_at = self._monotonic()
        while not stop.wait(min(_TICK_SECONDS, self._seconds * _EVERY)):
            try:
                self.queue_left()
                if self._monotonic() - renewed_at >= self._seconds * _EVERY:
                    renewed_at = self._monotonic()
                    self.renew()
            except TransientError as error:
                log.warning("leases_not_renewed", error=error.detail)
            except Exception:  # the boundary of the thread: nobody would notice that it ended.
                log.exception("renewal_failed")
