"""The guardian: outlives a supervisor that was killed, and stops what it left behind.

Run as a script, isolated, with nothing but the standard library. Its standard input is a pipe
from the supervisor with a line for each child (`+PID SIGNAL` started, `-PID` reaped). The kernel
closes the pipe when the supervisor ends, by whatever way; then every child still on the list is
asked to stop, and after a grace period its whole process group is killed.
"""

import os
import signal
import sys
import time

GRACE_SECONDS = 12.0
POLL_SECONDS = 0.05


def remaining_children(lines: "list[str]") -> "dict[int, int]":
    """Follow the supervisor's lines to their end.

    Args:
        lines: What the supervisor wrote, in order.

    Returns:
        For each child that was started and not reaped: the signal that asks it to stop.
    """
    children: dict[int, int] = {}
    for line in lines:
        if line.startswith("+"):
            pid, number = line[1:].split()
            children[int(pid)] = int(number)
        elif line.startswith("-"):
            children.pop(int(line[1:]), None)
    return children


def _send(pid: int, number: int, *, group: bool) -> None:
    try:
        if group:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def _is_running(pid: int) -> bool:
    # Orphans are reaped by init, or stay zombies in a container without one; a zombie holds nothing.
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:  # noqa: PTH123 - bare start
            return stat.read().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


def main() -> None:
    """Wait for the supervisor's end, then stop its children."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    children = remaining_children(list(sys.stdin))
    for pid, stop_signal in children.items():
        _send(pid, stop_signal, group=False)
    deadline = time.monotonic() + GRACE_SECONDS
    while any(map(_is_running, children)) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    for pid in children:
        _send(pid, signal.SIGKILL, group=True)


if __name__ == "__main__":
    main()
