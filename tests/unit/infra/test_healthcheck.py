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


def test_a_process_that_does_not_answer_is_not_healthy() -> None:
    assert not healthy("http://127.0.0.1:9/health/live")


def test_its_exit_code_tells() -> None:
    def run(*urls: str) -> int:
        command = [sys.executable, "-m", "infra.healthcheck", *urls]
        return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode

    good = f"http://127.0.0.1:{serve_observed('127.0.0.1', 0)}/health/live"
    assert (run(good), run(good, "http://127.0.0.1:9/"), run()) == (0, 1, 1)
