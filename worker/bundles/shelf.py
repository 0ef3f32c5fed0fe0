"""Loaded bundles by version: each worker holds the few it needs now.

Bundles are swapped between batches without a restart: while one is loaded, scans of the others go on. Scans that name
it are only taken once it is ready.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

from worker.errors import AssayError, TransientError, WedgedError, public
from worker.log import get_logger

log = get_logger()

# A bundle that cannot be loaded is tried again after so long, not for each of the scans that wait for it.
_TRIED_AGAIN_SECONDS = 10.0


class BundleMissingError(TransientError):
    """A bundle that a scan names cannot be loaded here."""


class BundleShelf:
    """Loads bundles when they are first named and keeps the last few: champion, challenger, a rescan's."""

    def __init__(
        self,
        locate: Callable[[str], Path],
        version_of: Callable[[Path], str],
        load: Callable[[Path], Any],
        *,
        monotonic: Callable[[], float],
        capacity: int = 3,
    ) -> None:
        """Keep the ways to find and load.

        Args:
            locate: version to the bundle's folder on this machine; raises
                BundleMissingError.
            version_of: folder to the version it claims to hold; cheap.
            load: folder to a loaded, warmed-up bundle.
            monotonic: clock, in seconds.
            capacity: most bundles held at once.
        """
        self._locate = locate
        self._version_of = version_of
        self._load = load
        self._monotonic = monotonic
        self._capacity = capacity
        self._lock = threading.Lock()
        self._held: OrderedDict[str, Future[Any]] = OrderedDict()
        self._failed: dict[str, tuple[float, TransientError]] = {}

    def get(self, version: str) -> Any:
        """Return the bundle of this version; who asks first loads it, who asks meanwhile waits.

        Raises:
            BundleMissingError: it is not to be had on this machine, not the one it claims to be, or broken: scans
                that name it wait for better times, such as a rollback.
        """
        with self._lock:
            self._recall(version)
            held = self._held.get(version)
            loaded = held or self._held.setdefault(version, Future())
            self._held.move_to_end(version)
            if len(self._held) > self._capacity:
                self._held.popitem(last=False)
        if held is None:
            self._fill(loaded, version)
        return loaded.result()

    def ready(self) -> frozenset[str]:
        """Return the versions whose scans need not wait: those loaded, and those whose scans shall fail with why."""
        with self._lock:
            return frozenset(version for version, held in self._held.items() if held.done()).union(self._failed)

    def prepare(self, version: str) -> None:
        """Load a bundle in a thread of its own, unless that is done or under way; scans of the others go on."""
        with self._lock:
            if version in self._held or version in self._failed:
                return
        threading.Thread(target=self._load_beside, args=(version,), name="bundle", daemon=True).start()

    def _load_beside(self, version: str) -> None:
        with suppress(TransientError, WedgedError):  # which are logged, and raised again for whoever needs the bundle
            self.get(version)

    def _recall(self, version: str) -> None:
        """Raise again what came of loading it a moment ago."""
        at, error = self._failed.get(version, (0.0, None))
        if error is not None and self._monotonic() - at < _TRIED_AGAIN_SECONDS:
            raise error

    def _fill(self, loaded: Future[Any], version: str) -> None:
        try:
            bundle = self._loaded(version)
            with self._lock:
                self._failed.pop(version, None)
            loaded.set_result(bundle)
        except WedgedError as error:
            loaded.set_exception(error)
        except Exception as error:
            log.exception("bundle_not_loaded", bundle=version)
            missing = error if isinstance(error, TransientError) else BundleMissingError(_explain(version, error))
            with self._lock:
                self._held.pop(version, None)
                self._failed[version] = (self._monotonic(), missing)
            loaded.set_exception(missing)

    def _loaded(self, version: str) -> Any:
        folder = self._locate(version)
        # Asked before loading, which takes seconds that every scan of another release's champion would pay.
        held = self._version_of(folder)
        if held != version:
            raise BundleMissingError(
                f"the scan names bundle {version}, its folder holds {held}; run workers of the release "
                "that ships it, or promote a bundle that this one ships"
            )
        return self._load(folder)


def _explain(version: str, error: Exception) -> str:
    why = error.detail if isinstance(error, AssayError) else public(error)
    return f"bundle {version} cannot be loaded: {why}"
