"""Fetches the files that platforms name by address, beside a worker's scans: into the upload bucket, then as any image.

At least once, and to the same object each time: a worker that dies leaves its fetch to the next one, which finds what
was stored. Postgres alone is asked for work, so a broker that is wiped loses nothing.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from worker.database.callbacks import CallbackTarget, call_back, place_in_line
from worker.database.fetches import Fetches, FetchLease
from worker.database.session import Database
from worker.database.tables import Fetch
from worker.decisions.fetching import FetchReason
from worker.decisions.priority import Priority
from worker.errors import TransientError
from worker.ingest.download import DownloadedFile, FetchFailedError, UnreachableError
from worker.ingest.events import ObjectCreated
from worker.ingest.register import Registration
from worker.log import get_logger
from worker.metrics import FETCHES
from worker.objects.object_store import ObjectStore
from worker.objects.trouble import RefusedError

log = get_logger()

_POLL_SECONDS = 1.0
_BUSY_POLL_SECONDS = 0.2
_FENCED = "fenced"  # another worker holds it


class Registers(Protocol):
    """What the fetcher needs of :class:`~worker.ingest.register.Register`."""

    def __call__(self, created: ObjectCreated) -> Registration | None:
        """Register one object and commit."""


class Fetcher:
    """Takes fetches that are due and does them, some beside each other."""

    def __init__(
        self,
        database: Database,
        download: Callable[[str], DownloadedFile],
        objects: ObjectStore,
        register: Registers,
        *,
        bucket: str,
        threads: int,
    ) -> None:
        """Keep the parts.

        Args:
            database: where fetches are.
            download: returns the file behind an address.
            objects: the object store.
            register: makes an image and its scan of an object.
            bucket: the upload bucket.
            threads: fetches beside each other.
        """
        self._database = database
        self._fetches = Fetches(database)
        self._download = download
        self._objects = objects
        self._register = register
        self._bucket = bucket
        self._threads = threads

    def start(self, stop: threading.Event) -> None:
        """Fetch in threads of its own until ``stop`` is set; what it leaves, the next worker does."""
        threading.Thread(target=self._run, args=(stop,), name="fetcher", daemon=True).start()

    def _run(self, stop: threading.Event) -> None:
        running: set[Future[None]] = set()
        with ThreadPoolExecutor(self._threads, thread_name_prefix="fetch") as pool:
            while not stop.is_set():
                running = {one for one in running if not one.done()}
                running |= self._begin(pool, self._threads - len(running))
                stop.wait(_BUSY_POLL_SECONDS if running else _POLL_SECONDS)

    def _begin(self, pool: ThreadPoolExecutor, most: int) -> set[Future[None]]:
        """Begin what is due, as far as threads are free."""
        try:
            return {pool.submit(self._do_safely, lease) for lease in (self._fetches.take(most) if most else [])}
        except TransientError as error:
            log.warning("fetches_postponed", error=error.detail)
        except Exception:  # the boundary of the thread: nobody would notice that it ended.
            log.exception("fetcher_failed")
        return set()

    def fetch_once(self) -> int:
        """Do what is due now, one after the other; return how many."""
        leases = self._fetches.take(self._threads)
        for lease in leases:
            self.do(lease)
        return len(leases)

    def _do_safely(self, lease: FetchLease) -> None:
        try:
            self.do(lease)
        except Exception:  # the boundary of a fetch: its lease ends, and it comes again.
            log.exception("fetch_broken", fetch=lease.fetch.id)

    def do(self, lease: FetchLease) -> None:
        """Fetch one file and register it; whatever goes wrong is written down or comes again."""
        fetch = lease.fetch
        try:
            outcome = self._bring(lease)
        except FetchFailedError as error:
            outcome = error.reason if self._fetches.fail(lease, error.reason, error.detail) else _FENCED
        except UnreachableError as error:
            outcome = self._try_later(lease, error.detail, ours=False)
        except (TransientError, RefusedError):
            outcome = self._try_later(lease, "a part of Assay is out of reach", ours=True)
        FETCHES.labels(outcome).inc()
        log.info("fetch_ended", fetch=fetch.id, outcome=outcome, attempts=fetch.attempts)

    def _bring(self, lease: FetchLease) -> str:
        """Store a file, register its image, and let it be followed."""
        fetch = lease.fetch
        registered = self._register(self._stored_before(fetch) or self._store(fetch))
        if registered is None:
            raise FetchFailedError(FetchReason.REFUSED, "the image was erased, or its id cannot be one")
        with self._database.transaction() as session:
            place_in_line(session, [registered.image_pk], Priority(fetch.priority))
            if fetch.endpoint_id is not None and fetch.callback_url is not None:
                call_back(session, [registered.image_pk], CallbackTarget(fetch.endpoint_id, fetch.callback_url))
        return "done" if self._fetches.done(lease, registered.image_pk) else _FENCED

    def _try_later(self, lease: FetchLease, detail: str, *, ours: bool) -> str:
        again = self._fetches.try_later(lease, detail, ours=ours)
        return FetchReason.UNREACHABLE if again is None else "retried"

    def _stored_before(self, fetch: Fetch) -> ObjectCreated | None:
        """Return what an earlier attempt stored before its worker died."""
        head = self._objects.head(self._bucket, _key_of(fetch)) if fetch.attempts > 1 else None
        if head is None:
            return None
        return ObjectCreated(self._bucket, (_key_of(fetch),), head.version.version_id, head.version.etag, head.size)

    def _store(self, fetch: Fetch) -> ObjectCreated:
        file = self._download(fetch.url)
        metadata = {"image-id": fetch.image_id} | ({"source": fetch.source} if fetch.source else {})
        stored = self._objects.put(self._bucket, _key_of(fetch), file.body, file.type.media_type, metadata)
        return ObjectCreated(self._bucket, (_key_of(fetch),), stored.version_id, stored.etag, len(file.body))


def _key_of(fetch: Fetch) -> str:
    # Under the prefix of what Assay uploads for platforms, which goes when the image is erased.
    return f"api/fetched/{fetch.token.hex}"
