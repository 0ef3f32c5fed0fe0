"""What a decoder process that somebody took over cannot do."""

import subprocess
import sys

import pytest

TRY = """
import os, resource, signal, socket, subprocess, threading
from worker.decoders import sandbox
import worker.decoders.child
holds = [*sandbox.leave_network(), *sandbox.confine(2 * 1024**3)]
assert "seccomp" in holds, holds
def attempt(name, call):
    try:
        call()
    except (OSError, ValueError) as error:
        print(name, type(error).__name__)
    else:
        print(name, "done")
attempt("socket", lambda: socket.socket(socket.AF_INET))
attempt("socketpair", socket.socketpair)
attempt("write", lambda: open("/tmp/assay-decoder-wrote", "w"))
attempt("remove", lambda: os.unlink("/tmp/assay-decoder-wrote"))
attempt("program", lambda: os.execv("/bin/true", ["true"]))
attempt("fork", os.fork)
attempt("kill", lambda: os.kill(os.getppid(), 0))
attempt("limits", lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (50, 50)))
attempt("thread", lambda: threading.Thread(target=int).start())
attempt("time", lambda: resource.setrlimit(resource.RLIMIT_CPU, (100, 100)))
attempt("read", lambda: open(os.__file__).read())
"""


@pytest.fixture(scope="module")
def attempts() -> dict[str, str]:
    done = subprocess.run([sys.executable, "-c", TRY], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return dict(line.split() for line in done.stdout.splitlines())


@pytest.mark.parametrize("what", ["socket", "socketpair", "write", "remove", "program", "fork", "kill", "limits"])
def test_it_reaches_nobody_and_changes_nothing(attempts: dict[str, str], what: str) -> None:
    assert attempts[what] in {"PermissionError", "ValueError", "OSError"}


@pytest.mark.parametrize("what", ["thread", "time", "read"])
def test_what_decoders_need_is_left_to_it(attempts: dict[str, str], what: str) -> None:
    assert attempts[what] == "done"
