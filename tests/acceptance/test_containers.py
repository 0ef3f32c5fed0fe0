"""The images in containers: the short part of `make compose-test`, where somebody asks for it.

It takes a container engine, root and half an hour, which a machine that runs all tests need not have. So
`TEST_CONTAINERS=1 make test-slow` asks for it; `make images-offline` comes first.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from infra.cli.environment import child_environment
from infra.containers.engine import find_engine

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(3600)]


def test_every_image_gets_its_verdict_from_a_compose_deployment(repository: Path) -> None:
    if child_environment().get("TEST_CONTAINERS") != "1":
        pytest.skip("starts containers, as root, for half an hour: TEST_CONTAINERS=1 asks for it")
    find_engine()  # without one it says what to install and start
    command = [sys.executable, "-m", "infra.containers.compose_test", "--short", "--images", "40", "--patience", "3"]
    done = subprocess.run(command, cwd=repository, stdout=subprocess.PIPE, text=True, timeout=3500, check=False)
    assert done.returncode == 0
    total = json.loads(done.stdout.splitlines()[-1])
    assert (total["images"], total["verdicts"], total["complaints"]) == (40, 40, [])
