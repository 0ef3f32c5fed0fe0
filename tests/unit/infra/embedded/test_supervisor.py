"""What the supervisor does with processes that live, die, refuse and linger."""

import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from infra.embedded.data_lock import is_alive
from infra.embedded.errors import StackError
from infra.embedded.guardian import Guardian
from infra.embedded.process import Process, spawn
from infra.embedded.supervisor import Supervisor
from infra.embedded.watch import MOST_FAILURES

SLEEPER = "import signal; signal.pause()"
DEAF = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open('deaf', 'w').close()
while True: signal.pause()
"""


@pytest.fixture
def reports() -> list[str]:
    return []


@pytest.fixture
def supervisor(reports: list[str]) -> Iterator[Supervisor]:
    made = Supervisor(report=reports.append)
    yield made
    made.stop()


@pytest.fixture
def process(tmp_path: Path) -> Callable[..., Process]:
    def make(name: str, program: str = SLEEPER) -> Process:
        argv = (sys.executable, "-I", "-S", "-c", program)
        return Process(name=name, argv=argv, env={}, log_file=tmp_path / "logs" / f"{name}.log", cwd=tmp_path)

    return make


def until(check: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not check():
        assert time.monotonic() < deadline
        pause.wait(0.01)


def test_a_killed_process_is_started_again_with_all_its_steps(
    supervisor: Supervisor, reports: list[str], process: Callable[..., Process]
) -> None:
    steps: list[str] = []
    watched = replace(
        process("part"),
        before_start=lambda: steps.append("before"),
        ready=lambda: True,
        after_ready=lambda: steps.append("after"),
    )
    supervisor.start(watched)
    first = supervisor.pids()["part"]
    os.kill(first, signal.SIGKILL)
    until(lambda: supervisor.pids().get("part", first) != first)
    assert supervisor.wait_ready("part", 10)
    assert steps == ["before", "after", "before", "after"]
    assert reports == ["part: killed by SIGKILL; starting it again"]


def test_a_process_that_keeps_failing_stops_everything_and_is_named_in_one_line(
    supervisor: Supervisor, process: Callable[..., Process], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.embedded.watch._LONGEST_PAUSE", 0.0)
    supervisor.start(process("healthy"))
    healthy = supervisor.pids()["healthy"]
    failing = replace(process("failing", "import sys; sys.exit('no room on the moon')"), ready=lambda: False)
    with pytest.raises(StackError) as given_up:
        supervisor.start(failing)
    log = tmp_path / "logs" / "failing.log"
    assert str(given_up.value) == f"failing failed 5 times in a row (exit status 1): no room on the moon; see {log}"
    assert not is_alive(healthy)


def test_a_process_that_was_ready_once_is_brought_back_however_often_it_dies(
    supervisor: Supervisor, process: Callable[..., Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.embedded.watch._LONGEST_PAUSE", 0.0)
    supervisor.start(replace(process("part"), ready=lambda: True))
    for _ in range(MOST_FAILURES + 2):
        before = supervisor.pids()["part"]
        os.kill(before, signal.SIGKILL)
        until(lambda before=before: supervisor.pids().get("part", before) != before)  # type: ignore[misc]
        assert supervisor.wait_ready("part", 10)
    assert supervisor.wait(0) is False


def test_a_process_that_fails_for_good_while_all_is_up_ends_the_wait(
    supervisor: Supervisor, process: Callable[..., Process]
) -> None:
    supervisor.start(replace(process("once"), restart=False))
    os.kill(supervisor.pids()["once"], signal.SIGTERM)
    with pytest.raises(StackError, match=r"once failed \(killed by SIGTERM\); see "):
        supervisor.wait(10)


def test_a_process_that_may_end_ends_without_a_word(
    supervisor: Supervisor, reports: list[str], process: Callable[..., Process]
) -> None:
    supervisor.start(replace(process("migration", "pass"), restart=False))
    until(lambda: supervisor.pids() == {})
    assert supervisor.wait(0) is False
    assert reports == []


def test_a_program_that_is_missing_or_may_not_be_run_is_an_error_at_once(
    supervisor: Supervisor, process: Callable[..., Process], tmp_path: Path
) -> None:
    with pytest.raises(StackError, match=r"start of gone: file not found .*run `make setup`"):
        supervisor.start(replace(process("gone"), argv=(str(tmp_path / "gone"),)))
    plain = tmp_path / "plain"
    plain.touch()
    with pytest.raises(StackError, match=r"start of plain: permission denied .*executable"):
        Supervisor().start(replace(process("plain"), argv=(str(plain),)))


def test_a_process_that_never_gets_ready_is_an_error_that_says_why(
    supervisor: Supervisor, process: Callable[..., Process]
) -> None:
    def refuse() -> bool:
        raise ConnectionRefusedError("nobody there")

    mute = replace(process("mute"), ready=refuse, ready_seconds=0.2, restart=False)
    with pytest.raises(StackError, match=r"not ready after 0 s \(ConnectionRefusedError: nobody there\)"):
        supervisor.start(mute)


def test_a_process_that_does_not_listen_to_its_stop_signal_is_killed_in_time(
    supervisor: Supervisor, process: Callable[..., Process], tmp_path: Path
) -> None:
    deaf = replace(process("deaf", DEAF), ready=(tmp_path / "deaf").exists, stop_seconds=0.2)
    supervisor.start(deaf)
    pid = supervisor.pids()["deaf"]
    began = time.monotonic()
    supervisor.stop()
    assert time.monotonic() - began < 5
    assert not is_alive(pid)


def test_what_a_process_started_dies_with_it(
    supervisor: Supervisor, process: Callable[..., Process], tmp_path: Path
) -> None:
    parent = "import os, signal\npid = os.fork()\nif pid: open('grandchild', 'w').write(f'{pid}\\n')\nsignal.pause()"
    supervisor.start(replace(process("parent", parent), restart=False))
    note = tmp_path / "grandchild"
    until(lambda: note.exists() and note.read_text().endswith("\n"))
    grandchild = int(note.read_text())
    assert is_alive(grandchild)
    supervisor.stop()
    until(lambda: not is_alive(grandchild))


def test_processes_of_one_start_are_stopped_side_by_side(
    supervisor: Supervisor, process: Callable[..., Process], tmp_path: Path
) -> None:
    # Each ends only once the other has been asked to, or is killed for its delay.
    program = (
        "import os, signal, sys, time\n"
        "def end(*_):\n"
        "    open('{0} asked', 'w').close()\n"
        "    while not os.path.exists('{1} asked'): time.sleep(0.01)\n"
        "    open('{0} ended', 'w').close(); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end); open('{0}', 'w').close()\nsignal.pause()"
    )
    pairs = (("left", "right"), ("right", "left"))
    supervisor.start(
        *(replace(process(n, program.format(n, other)), ready=(tmp_path / n).exists) for n, other in pairs)
    )
    supervisor.stop()
    assert (tmp_path / "left ended").exists()
    assert (tmp_path / "right ended").exists()


def test_processes_are_stopped_in_the_reverse_order_of_their_starts(
    supervisor: Supervisor, process: Callable[..., Process], tmp_path: Path
) -> None:
    program = (
        "import signal, sys\n"
        "def end(*_):\n    open('order', 'a').write('{0} '); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end); open('{0}', 'w').close()\nsignal.pause()"
    )
    for name in ("first", "second"):
        there = tmp_path / name
        supervisor.start(replace(process(name, program.format(name)), ready=there.exists))
    supervisor.stop()
    assert (tmp_path / "order").read_text() == "second first "


def test_a_preparation_that_fails_is_an_error_and_no_endless_wait(
    supervisor: Supervisor, process: Callable[..., Process]
) -> None:
    def fail() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StackError, match="start of full: the disk is full"):
        supervisor.start(replace(process("full"), before_start=fail))


def test_a_guardian_that_is_killed_is_replaced_at_once_and_still_knows_every_child(
    process: Callable[..., Process],
) -> None:
    guardian = Guardian()
    guardian.start()
    children = [spawn(process(name)) for name in ("one", "two")]
    guardian.add(children[0].pid, signal.SIGTERM)
    killed = guardian._process
    assert killed is not None
    killed.kill()
    guardian.add(children[1].pid, signal.SIGTERM)
    until(lambda: guardian._process is not killed)
    guardian.close()  # its pipe ends, as when we are killed
    assert [child.wait(10) for child in children] == [-signal.SIGTERM, -signal.SIGTERM]


def test_a_guardian_that_is_closed_is_not_replaced() -> None:
    guardian = Guardian()
    guardian.start()
    guardian.close()
    until(lambda: all(thread.name != "guardian" for thread in threading.enumerate()))
    assert guardian._process is None


def test_a_child_is_asked_to_stop_once_nobody_watches_it(process: Callable[..., Process]) -> None:
    children = []
    interpreter = sys.executable.encode() + b"\0"

    def watch() -> None:
        child = spawn(process("watched"))
        children.append(child)
        # `setpriv` asks for the signal first; a thread that ended before would not be missed.
        # The command line is empty for a moment while the kernel replaces a program.
        until(lambda: Path(f"/proc/{child.pid}/cmdline").read_bytes().startswith(interpreter))

    watching = threading.Thread(target=watch)
    watching.start()
    watching.join()
    assert children[0].wait(10) == -signal.SIGTERM
