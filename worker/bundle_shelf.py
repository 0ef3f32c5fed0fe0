"""Loaded bundles by version: each worker holds the few it needs now."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from worker.errors import TransientError


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
        capacity: int = 3,
    ) -> None:
        """Keep the ways to find and load.

        Args:
            locate: version to the bundle's folder on this machine; raises
                BundleMissingError.
            version_of: folder to the version it claims to hold; cheap.
            load: folder to a loaded, warmed-up bundle.
            capacity: most bundles held at once.
        """
        self._locate = locate
        self._version_of = version_of
        self._load = load
        self._capacity = capacity
        self._lock = threading.Lock()
        self._held: OrderedDict[str, Any] = OrderedDict()

    def get(self, version: str) -> Any:
        """Return the bundle of this version.

        Raises:
            BundleMissingError: it is not on this machine, or not the one it claims to be.
        """
        with self._lock:
            if version not in self._held:
                folder = self._locate(version)
                # Asked before loading, which takes seconds that every scan of another release's champion would pay.
                held = self._version_of(folder)
                if held != version:
                    raise BundleMissingError(
                        f"the scan names bundle {version}, its folder holds {held}; run workers of the release "
                        "that ships it, or promote a bundle that this one ships"
                    )
                self._held[version] = self._load(folder)
                if len(self._held) > self._capacity:
                    self._held.popitem(last=False)
            self._held.move_to_end(version)
            return self._held[version]
