"""Loaded bundles by version: each worker holds the few it needs now.

Bundles are swapped between batches without a restart: while one is loaded, scans of the others go on.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
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
            found = self._held.get(version)
            loaded = found or self._held.setdefault(version, Future())
            self._held.move_to_end(version)
            if len(self._held) > self._capacity:
                self._held.popitem(last=False)
        if found is None:
            self._fill(loaded, version)
        return loaded.result()

    def _recall(self, version: str) -> None:
        """Raise again what came of loading it a moment ago."""
        at, error = self._failed.get(version, (0.0, None))
        if error is not None:
            if self._monotonic() - at < _TRIED_AGAIN_SECONDS:
                raise error
            del self._failed[version]

    def _fill(self, loaded: Future[Any], version: str) -> None:
        try:
            loaded.set_result(self._loaded(version))
        except WedgedError as error:
            loaded.set_exception(error)
        except Exception as error:
            log.exception("bundle_not_loaded", bundle=version)
            missing = error if isinstance(error, TransientError) else BundleMissingError(_told(version, error))
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


def _told(version: str, error: Exception) -> str:
    why = error.detail if isinstance(error, AssayError) else public(error)
    return f"bundle {version} cannot be loaded: {why}"
