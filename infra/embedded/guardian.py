"""The supervisor's side of the guardian: keeps it told of every child, and restarts it if it dies."""

import contextlib
import subprocess
import sys
import threading
from pathlib import Path

from infra.embedded.errors import from_os_error

_SCRIPT = Path(__file__).with_name("guardian_process.py")


class Guardian:
    """Sees to it that no child outlives us, even when we are killed with SIGKILL.

    A pipe and not the kernel's parent-death signal: that one fires when the *thread* that forked
    ends, reaches only the child and not its group, and is lost when the child changes its user.
    """

    def __init__(self, inherited: tuple[int, ...] = ()) -> None:
        """Take the descriptors the guardian shall keep open (the data folder's lock)."""
        self._inherited = inherited
        self._children: dict[int, int] = {}
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the guardian.

        Raises:
            StackError: If the operating system refuses.
        """
        with self._lock:
            self._launch()

    def add(self, pid: int, stop_signal: int) -> None:
        """Put a child under its guard."""
        with self._lock:
            self._children[pid] = stop_signal
            self._tell(f"+{pid} {stop_signal}\n")

    def remove(self, pid: int) -> None:
        """Release a child that has been reaped; its id may soon be someone else's."""
        with self._lock:
            self._children.pop(pid, None)
            self._tell(f"-{pid}\n")

    def close(self) -> None:
        """End the guardian; what is still on its list is stopped by it."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            process.wait()

    def _tell(self, line: str) -> None:
        if self._process is None or self._process.stdin is None:
            return
        try:
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            # It was killed: `_replace` starts another, which learns the whole list.
            return

    def _launch(self) -> None:
        try:
            process = subprocess.Popen(
                (sys.executable, "-I", "-S", str(_SCRIPT)),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={},
                start_new_session=True,
                pass_fds=self._inherited,
            )
        except OSError as error:
            raise from_os_error(error, "start of the guardian") from error
        self._process = process
        for pid, number in self._children.items():
            self._tell(f"+{pid} {number}\n")
        threading.Thread(target=self._replace, args=(process,), name="guardian", daemon=True).start()

    def _replace(self, process: "subprocess.Popen[bytes]") -> None:
        """Wait for a guardian's end, and start another unless we are closed."""
        process.wait()
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        with self._lock:
            if self._process is process:
                self._launch()
