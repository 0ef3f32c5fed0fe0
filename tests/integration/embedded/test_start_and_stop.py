"""Starts and stops: what is kept, what is refused, and that nothing is left behind."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.embedded import ports
from infra.embedded.addresses import read_running_stack
from infra.embedded.data_lock import is_alive
from infra.embedded.errors import StackError
from infra.embedded.stack import DEFAULT_PORTS, EmbeddedStack

pytestmark = pytest.mark.integration

_KEEP_UP = """
import sys
from pathlib import Path
from infra.embedded.stack import EmbeddedStack

parts = sys.argv[2].split(",")
stack = EmbeddedStack(Path(sys.argv[1]), parts=parts, fixed_ports=dict.fromkeys(parts, 0))
stack.run(lambda addresses: print(*stack.supervisor.pids().values(), flush=True))
"""


def start_elsewhere(data_dir: Path, parts: str) -> tuple[subprocess.Popen[str], list[int]]:
    """Run a stack under a process of its own; gives that process and the parts' ids."""
    argv = (sys.executable, "-c", _KEEP_UP, str(data_dir), parts)
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).resolve().parents[3])
    assert process.stdout is not None
    return process, [int(pid) for pid in process.stdout.readline().split()]


def test_a_stop_leaves_nothing_and_a_new_start_finds_ports_and_data_again(tmp_path: Path) -> None:
    stack = EmbeddedStack(tmp_path, parts=["valkey"], fixed_ports={"valkey": 0})
    first = stack.start()
    pids = stack.supervisor.pids().values()
    stack.stop()
    assert not any(is_alive(pid) for pid in pids)
    assert read_running_stack(tmp_path) is None
    with EmbeddedStack(tmp_path, parts=["valkey"]) as second:
        assert second == first
        assert second.environment() == {"ASSAY_REDIS_URL": first.redis_url}


def test_a_usual_port_that_is_taken_is_avoided(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            other.bind(("127.0.0.1", DEFAULT_PORTS["valkey"]))
            other.listen()
        except OSError:
            pass  # somebody else holds it: as good
        with EmbeddedStack(tmp_path, parts=["valkey"]) as addresses:
            assert f":{DEFAULT_PORTS['valkey']}/" not in addresses.redis_url


def test_a_port_lost_between_choice_and_start_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        lost = other.getsockname()[1]
        choices = iter([lost, ports.choose([0])])
        monkeypatch.setattr(ports, "choose", lambda *_, **__: next(choices))
        with EmbeddedStack(tmp_path / "a folder, ü", parts=["valkey"]) as addresses:
            assert f":{lost}/" not in addresses.redis_url


def test_a_fixed_port_that_is_taken_is_an_error_that_names_its_holder(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(StackError, match=rf"port {port} for valkey is taken by pid {os.getpid()} "):
            EmbeddedStack(tmp_path, parts=["valkey"], fixed_ports={"valkey": port}).start()


def test_a_part_that_cannot_run_stops_the_stack_with_one_line(tmp_path: Path) -> None:
    missing = tmp_path / "no" / "python"
    stack = EmbeddedStack(tmp_path, parts=["object_store"], ministack_interpreter=missing)
    with pytest.raises(StackError, match=r"ministack is not installed .*run `make setup`"):
        stack.start()
    assert read_running_stack(tmp_path) is None


def test_lost_credentials_are_told_apart_from_a_first_start(tmp_path: Path) -> None:
    (tmp_path / "postgres" / "cluster").mkdir(parents=True)
    with pytest.raises(StackError, match=r"has data but no credentials\.json"):
        EmbeddedStack(tmp_path, parts=["postgres"]).start()


def test_a_signal_stops_the_stack_cleanly(tmp_path: Path) -> None:
    process, pids = start_elsewhere(tmp_path, "valkey")
    with process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert len(pids) == 1
    assert not any(is_alive(pid) for pid in pids)


def kill_guardian_of(process: subprocess.Popen[str], pids: list[int]) -> None:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
    others = set(map(int, children)) - set(pids)
    assert len(others) == 1
    os.kill(others.pop(), signal.SIGKILL)


def test_a_killed_supervisor_leaves_nothing_running(tmp_path: Path, eventually: Callable[..., None]) -> None:
    process, pids = start_elsewhere(tmp_path, "postgres,valkey")
    with process:
        process.kill()
    assert len(pids) == 2
    eventually(lambda: not any(is_alive(pid) for pid in pids))


def test_one_that_is_killed_with_its_guardian_leaves_nothing_running_either(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    process, pids = start_elsewhere(tmp_path, "postgres,valkey,object_store")
    with process:
        process.send_signal(signal.SIGSTOP)  # so that the guardian is not replaced meanwhile
        kill_guardian_of(process, pids)
        process.kill()
    assert len(pids) == 3
    eventually(lambda: not any(is_alive(pid) for pid in pids))
    with EmbeddedStack(tmp_path, parts=["postgres"]) as addresses:
        assert read_running_stack(tmp_path) == addresses
