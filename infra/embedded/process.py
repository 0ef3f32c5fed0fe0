"""A child process as the supervisor sees it: how it is started, when it is ready, how it is stopped."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from infra.embedded.errors import from_os_error

_LOG_LIMIT_BYTES = 20_000_000


@dataclass(frozen=True)
class Account:
    """The user and group a process runs as, by number."""

    uid: int
    gid: int

    @property
    def pair(self) -> tuple[int, int]:
        """User and group, as `os.chown` takes them."""
        return self.uid, self.gid


@dataclass(frozen=True)
class Process:
    """What to run and how to watch it."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]  # the whole environment; nothing is inherited
    log_file: Path
    # Called until it says yes; it may raise while the process is not yet up. None: ready once started.
    ready: Callable[[], bool] | None = None
    before_start: Callable[[], None] | None = None  # before every start, first and later ones
    after_ready: Callable[[], None] | None = None  # after every start, before it counts as ready
    restart: bool = True  # False: it may end by itself with status 0
    account: Account | None = None
    cwd: Path | None = None
    stop_signal: signal.Signals = field(default=signal.SIGTERM)
    stop_seconds: float = 10.0
    ready_seconds: float = 30.0


def spawn(process: Process) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, so that a Ctrl-C meant for us does not reach it.

    The kernel asks it to stop once the calling thread ends, which must outlive it: so nothing is left running where we
    are killed together with the guardian. That one is needed all the same: it sees to whole groups and is patient.

    Args:
        process: What to start.

    Returns:
        The running child; its output goes to the end of its log.

    Raises:
        StackError: If the operating system refuses.
    """
    try:
        _turn_log_over(process.log_file)
        with process.log_file.open("ab") as log:
            return subprocess.Popen(
                (*_bound(process), *process.argv),
                env=dict(process.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=process.cwd,
                start_new_session=True,
                user=process.account.uid if process.account else None,
                group=process.account.gid if process.account else None,
                extra_groups=() if process.account else None,
            )
    except OSError as error:
        raise from_os_error(error, f"start of {process.name}") from error


def _bound(process: Process) -> tuple[str, ...]:
    """Return what runs a command that is asked to stop when we end; a program that cannot run shall fail by itself."""
    setpriv = _setpriv()
    if setpriv is None or not os.access(process.argv[0], os.X_OK):
        return ()
    return setpriv, "--pdeathsig", process.stop_signal.name, "--"


@cache
def _setpriv() -> str | None:
    """Return the program of util-linux; None where it is missing or older than 2.33."""
    program = shutil.which("setpriv")
    if program is None:
        return None
    command = (program, "--pdeathsig", "clear", "--", program, "--version")
    tried = subprocess.run(command, capture_output=True, check=False)
    return program if tried.returncode == 0 else None


def kill_group(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process and all that it started in its group; gone is fine."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def last_line(log_file: Path, *words: str) -> str:
    """Give the last line of a log that says something, shortened, for an error message.

    Args:
        log_file: of the program that failed.
        words: the last line with one of them is better than one without.
    """
    try:
        with log_file.open("rb") as log:
            log.seek(max(0, log_file.stat().st_size - 4096))
            lines = log.read().decode("utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    texts = [line.strip()[:200] for line in lines if line.strip()]
    telling = [line for line in texts if any(word in line for word in words)] or texts
    return telling[-1] if telling else ""


def _turn_log_over(log_file: Path) -> None:
    log_file.parent.mkdir(parents=True, exist_ok=True)
    if log_file.exists() and log_file.stat().st_size > _LOG_LIMIT_BYTES:
        log_file.replace(log_file.with_suffix(".log.1"))
