"""Checkpoints of a run: on the training worker's disk, with copies in the artifact bucket.

The disk is fast enough to write to every minute and survives the process; the copy lets another machine go on where
this one was lost. Whichever was written later counts.
"""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

from worker.errors import GoneError
from worker.log import get_logger
from worker.objects.trouble import ObjectStoreDownError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from worker.objects.transfer import Transfer

log = get_logger()

_NAMES = ("checkpoint.safetensors", "best.safetensors", "order.json")
_INDEX = "checkpoints.json"


class Checkpoints:
    """One run's checkpoints, copied to the bucket and back."""

    def __init__(self, transfer: Transfer, bucket: str, run_id: int, folder: Path) -> None:
        """Keep what is needed; ``folder`` is the run's own, with a folder for each detector below ``out``."""
        self._transfer = transfer
        self._bucket = bucket
        self._prefix = f"training-runs/{run_id}/"
        self._out = folder / "out"
        self._index = folder / _INDEX
        self._copied: dict[str, int] = {}
        self._left = False

    def bring(self) -> int:
        """Fetch what the bucket has and the disk lacks, or has an older one of; return how many files.

        Raises:
            ObjectStoreDownError: the store does not answer: what it has must not be fitted anew.
        """
        try:
            self._transfer.download(self._bucket, self._prefix + _INDEX, self._index)
            index: dict[str, int] = json.loads(self._index.read_bytes())
            fetched = [name for name, written in index.items() if self._fetch(name, written)]
        except GoneError:
            return 0
        except (RefusedError, ValueError, OSError) as error:
            log.warning("checkpoints_not_brought", error=str(error))
            return 0
        self._copied.update(index)
        return len(fetched)

    def copy(self) -> int:
        """Copy what was written since the last time, the index last; return how many files.

        Trouble is logged and never ends a run.
        """
        if self._left:
            return 0
        changed = {name: written for name, written in self._files() if self._copied.get(name) != written}
        try:
            for name in changed:
                self._transfer.upload(self._out / name, self._bucket, self._prefix + name)
            if changed:
                self._index.write_text(json.dumps(self._copied | changed), encoding="utf-8")
                self._transfer.upload(self._index, self._bucket, self._prefix + _INDEX)
        except (ObjectStoreDownError, RefusedError, OSError) as error:
            log.warning("checkpoints_not_copied", error=str(error))
            return 0
        self._copied |= changed
        return len(changed)

    def keep_copying(self, every_seconds: float, stop: threading.Event) -> threading.Thread:
        """Copy every so often, in a thread of its own, until ``stop`` is set; then once more."""

        def run() -> None:
            while not stop.wait(every_seconds):
                self.copy()
            self.copy()

        thread = threading.Thread(target=run, name="checkpoints", daemon=True)
        thread.start()
        return thread

    def leave(self) -> None:
        """Copy nothing any more: whoever holds the run now writes there."""
        self._left = True

    def drop(self) -> None:
        """Delete the copies; the run has ended.

        Raises:
            RefusedError: the store refuses.
            ObjectStoreDownError: the store does not answer.
        """
        self._transfer.delete_prefix(self._bucket, self._prefix)

    def _files(self) -> Iterator[tuple[str, int]]:
        for file in sorted(self._out.glob("*/*")):
            if file.name in _NAMES:
                yield file.relative_to(self._out).as_posix(), file.stat().st_mtime_ns

    def _fetch(self, name: str, written: int) -> bool:
        file = self._out / name
        inside = file.resolve().is_relative_to(self._out.resolve()) and file.name in _NAMES
        if not inside or (file.exists() and file.stat().st_mtime_ns >= written):
            return False
        file.parent.mkdir(parents=True, exist_ok=True)
        self._transfer.download(self._bucket, self._prefix + name, file)
        return True
