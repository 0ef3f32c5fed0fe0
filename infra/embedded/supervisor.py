"""The supervisor: runs a set of processes, brings back those that die, and leaves none behind."""

import threading
import time
from collections.abc import Callable

from infra.embedded.errors import StackError
from infra.embedded.guardian import Guardian
from infra.embedded.process import Process
from infra.embedded.watch import Watch


def say_nothing(line: str) -> None:
    """Drop a line that nobody asked for."""
    del line


class Supervisor:
    """Watches processes from threads of its own; every method may be called from any thread."""

    def __init__(self, inherited: tuple[int, ...] = (), report: Callable[[str], None] = say_nothing) -> None:
        """Keep the collaborators; nothing runs before `start`.

        Args:
            inherited: Descriptors that stay open until the last child is gone, even if we are killed.
            report: Takes a line for people when something dies and is started again.
        """
        self._guardian = Guardian(inherited)
        self._report = report
        self._starts: list[list[Watch]] = []  # what was started together
        self._lock = threading.RLock()
        self._guarded = False
        self._failure: StackError | None = None
        self._over = threading.Event()  # told to end, or a process gave up

    def start(self, *processes: Process) -> None:
        """Start processes side by side and wait until all are ready.

        May be called again: what is added later is stopped earlier, what is added together is stopped side by side.

        Args:
            processes: What to run; a name may be used once.

        Raises:
            StackError: If one of them cannot be brought up; everything is stopped by then.
        """
        with self._lock:
            if not self._guarded:
                self._guardian.start()
                self._guarded = True
            added = [Watch(process, self._guardian, self._report, self._note_end) for process in processes]
            self._starts.append(added)
        for watch in added:
            watch.start()
        for watch in added:
            while not (watch.ready.wait(0.02) or watch.ended.is_set() or self._over.is_set()):
                pass
        if self._over.is_set():
            self.stop()
            self._raise_failure()

    def stop(self) -> None:
        """Stop everything, the latest start first; bounded by the processes' own limits."""
        self._over.set()
        with self._lock:
            for together in reversed(self._starts):
                for watch in together:
                    watch.ask_to_stop()
                for watch in together:
                    watch.join()
            self._starts.clear()
            if self._guarded:
                self._guardian.close()
                self._guarded = False

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until a stop is asked for or a process gives up.

        Args:
            timeout: The longest wait in seconds; None waits for ever.

        Returns:
            True when it is time to stop, False when the time ran out.

        Raises:
            StackError: If a process gave up; everything is stopped by then.
        """
        over = self._over.wait(timeout)
        if self._failure is not None:
            self.stop()
            self._raise_failure()
        return over

    def pids(self) -> dict[str, int]:
        """Give the process id of everything that runs now, by name."""
        with self._lock:
            return {watch.process.name: watch.pid for watch in self._all() if watch.pid is not None}

    def wait_ready(self, name: str, timeout: float) -> bool:
        """Wait until a process is ready, again if need be.

        Args:
            name: Its name.
            timeout: The longest wait in seconds.

        Returns:
            Whether it is ready.
        """
        deadline = time.monotonic() + timeout
        with self._lock:
            watches = [watch for watch in self._all() if watch.process.name == name]
        return bool(watches) and watches[0].ready.wait(max(0.0, deadline - time.monotonic()))

    def _all(self) -> list[Watch]:
        return [watch for together in self._starts for watch in together]

    def _note_end(self, error: StackError | None) -> None:
        if error is None:
            return
        self._report(str(error))
        if self._failure is None:
            self._failure = error
        self._over.set()
        # From a thread of its own: the watch that calls us is among those to be joined.
        threading.Thread(target=self.stop, name="stop-after-failure", daemon=True).start()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
        raise StackError("the stack was told to stop while it was starting")
