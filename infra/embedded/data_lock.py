"""One stack for a data folder: a lock the kernel drops when its holders are gone, however they went."""

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

from infra.embedded.errors import StackError

_CLEANUP_SECONDS = 20.0  # the guardian's grace period, and some more


class DataLock:
    """An advisory lock on a file that names its holder.

    The guardian inherits the open file, so the lock outlives a supervisor that was killed
    until what that supervisor ran has been stopped.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Take the file to lock and the clock that bounds the wait for a dying stack."""
        self._path = path
        self._clock = clock
        self._descriptor: int | None = None

    @property
    def descriptor(self) -> int:
        """The open file, to be inherited by the guardian."""
        if self._descriptor is None:
            message = "the lock is not held"
            raise RuntimeError(message)
        return self._descriptor

    def acquire(self) -> None:
        """Take the lock of the data folder.

        Raises:
            StackError: If another stack holds it.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = self._clock() + _CLEANUP_SECONDS
        while not _try_lock(descriptor):
            holder = holder_pid(self._path)
            if (holder is not None and is_alive(holder)) or self._clock() > deadline:
                os.close(descriptor)
                message = (
                    f"a stack already runs on {self._path.parent} (pid {holder}); "
                    f"stop it with `kill {holder}`, or choose another data folder"
                )
                raise StackError(message)
            time.sleep(0.1)  # its supervisor is dead and its guardian is clearing up
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Release the lock; harmless when it is not held."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None


def holder_pid(path: Path) -> int | None:
    """Read which process took the lock, if the file says so."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def is_held(path: Path) -> bool:
    """Say whether a living stack holds the lock, without taking it."""
    holder = holder_pid(path)
    return holder is not None and is_alive(holder) and not _could_lock(path)


def _could_lock(path: Path) -> bool:
    with path.open("rb") as stream:
        return _try_lock(stream.fileno(), shared=True)


def _try_lock(descriptor: int, *, shared: bool = False) -> bool:
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_alive(pid: int) -> bool:
    """Say whether a process runs under this id and is not merely waiting to be reaped."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}
