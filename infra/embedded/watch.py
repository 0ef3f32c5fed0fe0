"""The life of one supervised process: start, wait until ready, watch, restart.

One that never became ready is given up after a few starts; one that was ready once is brought back without end.
"""

import signal
import subprocess
import threading
import time
from collections.abc import Callable

from infra.embedded.errors import StackError, from_os_error
from infra.embedded.guardian import Guardian
from infra.embedded.process import Process, kill_group, last_line, spawn

MOST_FAILURES = 5
_QUICK_SECONDS = 20.0  # a process that lived longer than this starts with a clean record
_POLL_SECONDS = 0.02
_LONGEST_PAUSE = 5.0


class Watch:
    """Runs one process and watches it from a thread."""

    def __init__(
        self,
        process: Process,
        guardian: Guardian,
        report: Callable[[str], None],
        on_end: Callable[[StackError | None], None],
    ) -> None:
        """Take what to run, and whom to tell.

        Args:
            process: What to run.
            guardian: Learns of every child.
            report: Takes a line for people at each restart.
            on_end: Called once when the watch ends by itself: with the error when it gave up,
                with None when a process that may end has ended.
        """
        self.process = process
        self.ready = threading.Event()
        self.ended = threading.Event()
        self._guardian = guardian
        self._report = report
        self._on_end = on_end
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._was_ready = False
        self._thread = threading.Thread(target=self._run, name=f"watch-{process.name}", daemon=True)

    @property
    def pid(self) -> int | None:
        """The id of the running child, if there is one."""
        child = self._child
        return None if child is None else child.pid

    def start(self) -> None:
        """Start the thread that runs the process; returns at once."""
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Send the process its stop signal and start it no more; returns at once."""
        with self._lock:
            self._stopping.set()
            child = self._child
        if child is not None and child.poll() is None:
            child.send_signal(self.process.stop_signal)

    def join(self) -> None:
        """After `ask_to_stop`: wait as long as the process is allowed to take, then kill its group."""
        if self._thread.ident is None:
            return
        child = self._child
        if child is not None:
            self._thread.join(self.process.stop_seconds)
            if self._thread.is_alive():
                kill_group(child.pid, signal.SIGKILL)
        self._thread.join()

    def _run(self) -> None:
        failures = 0
        error: StackError | None = None
        while not self._stopping.is_set():
            began = time.monotonic()
            reason = self._try_to_live()
            if isinstance(reason, StackError):
                error = reason
                break
            if reason is None or self._stopping.is_set():
                break
            failures = 1 if time.monotonic() - began > _QUICK_SECONDS else failures + 1
            if not self.process.restart or (failures >= MOST_FAILURES and not self._was_ready):
                error = self._given_up(reason, failures)
                break
            self._report(f"{self.process.name}: {reason}; starting it again")
            # The exponent is bounded, for a number of failures is not.
            self._stopping.wait(min(0.1 * 2 ** min(failures - 1, 6), _LONGEST_PAUSE))
        self.ended.set()
        if not self._stopping.is_set():
            self._on_end(error)

    def _try_to_live(self) -> str | StackError | None:
        """Live once; what keeps the process from being started at all is returned as an error."""
        try:
            return self._live_once()
        except StackError as refused:
            return refused
        except OSError as refused:
            return from_os_error(refused, f"start of {self.process.name}")
        except Exception as unforeseen:  # noqa: BLE001 - the thread's boundary: `start` must not wait for ever
            return StackError(f"{self.process.name} cannot be watched: {unforeseen!r}")

    def _live_once(self) -> str | None:
        """Run the process until it ends; returns why that is a failure, or None if it is none."""
        if self.process.before_start is not None:
            self.process.before_start()
        with self._lock:
            if self._stopping.is_set():
                return None
            child = self._child = spawn(self.process)
            self._guardian.add(child.pid, self.process.stop_signal)
        try:
            not_ready = self._wait_until_ready(child)
            if not_ready is None:
                self._was_ready = True
                self.ready.set()
                child.wait()
        finally:
            self.ready.clear()
            kill_group(child.pid, signal.SIGKILL)
            child.wait()
            self._guardian.remove(child.pid)
            self._child = None
        if not_ready is not None:
            return not_ready
        if child.returncode == 0 and not self.process.restart:
            return None
        return _describe_status(child.returncode)

    def _wait_until_ready(self, child: subprocess.Popen[bytes]) -> str | None:
        deadline = time.monotonic() + self.process.ready_seconds
        complaint = "no answer"
        while child.poll() is None and not self._stopping.is_set():
            try:
                if self.process.ready is None or self.process.ready():
                    if self.process.after_ready is not None:
                        self.process.after_ready()
                    return None
            except StackError:
                raise
            except Exception as error:  # noqa: BLE001 - any client library's error means "not yet"
                complaint = f"{type(error).__name__}: {error}".splitlines()[0]
            if time.monotonic() > deadline:
                return f"not ready after {self.process.ready_seconds:.0f} s ({complaint})"
            self._stopping.wait(_POLL_SECONDS)
        if self._stopping.is_set():
            child.wait()  # `stop` has signalled it and sees to its end
            return None
        return _describe_status(child.returncode)

    def _given_up(self, reason: str, failures: int) -> StackError:
        name, log_file = self.process.name, self.process.log_file
        last_words = last_line(log_file)
        times = f" {failures} times in a row" if failures > 1 else ""
        return StackError(f"{name} failed{times} ({reason}){f': {last_words}' if last_words else ''}; see {log_file}")


def _describe_status(status: int | None) -> str:
    if status is not None and status < 0:
        try:
            return f"killed by {signal.Signals(-status).name}"
        except ValueError:
            return f"killed by signal {-status}"
    return f"exit status {status}"
