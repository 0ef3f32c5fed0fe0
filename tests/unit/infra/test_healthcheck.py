"""The containers' health check, against the server that the processes really run."""

import subprocess
import sys

import pytest

from infra.healthcheck import healthy
from worker.processes.metrics_server import serve_observed


@pytest.mark.parametrize(("alive", "expected"), [(True, True), (False, False)])
def test_it_says_what_the_process_says(*, alive: bool, expected: bool) -> None:
    port = serve_observed("127.0.0.1", 0, lambda: alive)
    assert healthy(f"http://127.0.0.1:{port}/health/live") is expected


@pytest.mark.parametrize("url", ["ftp://127.0.0.1:x/", "http://", "http://127.0.0.1:port/"])
def test_an_address_of_nothing_is_not_healthy(url: str) -> None:
    assert not healthy(url)


def test_it_loads_next_to_nothing_for_it_runs_all_the_time() -> None:
    code = "import sys, infra.healthcheck; print([name for name in ('email', 'http', 'ssl') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "[]\n"


def test_a_process_that_does_not_answer_is_not_healthy() -> None:
    assert not healthy("http://127.0.0.1:9/health/live")


def test_its_exit_code_tells() -> None:
    def run(*urls: str) -> int:
        command = [sys.executable, "-S", "-m", "infra.healthcheck", *urls]
        return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode

    good = f"http://127.0.0.1:{serve_observed('127.0.0.1', 0)}/health/live"
    assert (run(good), run(good, "http://127.0.0.1:9/"), run()) == (0, 1, 1)
