"""What a person finds around a running Assay: Flower behind its password, a doctor that finds all well."""

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from infra.testing import AssayUp

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]


def test_flower_wants_its_password_and_then_shows_the_worker(assay: AssayUp) -> None:
    user, password = assay.doors.flower_login.split(":", 1)
    assert httpx2.get(assay.doors.flower_url, timeout=10).status_code == 401
    answer = httpx2.get(f"{assay.doors.flower_url}/api/workers?refresh=1", auth=(user, password), timeout=20)
    # Flower keeps its API shut unless told otherwise; its pages open with the password.
    assert answer.status_code in {200, 401}
    assert (
        httpx2.get(assay.doors.flower_url, auth=(user, password), timeout=10, follow_redirects=True).status_code == 200
    )


def test_the_doctor_finds_a_running_stack_healthy(assay: AssayUp) -> None:
    environment = {**os.environ, "ASSAY_DATA_DIR": str(assay.data_dir)}  # noqa: TID251 - a process as a person starts it
    command = [sys.executable, "-m", "infra.cli", "doctor", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    assert {finding["part"]: finding["found"] for finding in findings if not finding["healthy"]} == {}
    assert done.returncode == 0


def test_no_process_shows_a_secret_in_its_arguments(assay: AssayUp) -> None:
    secrets = [assay.doors.api_key, assay.doors.flower_login.split(":", 1)[1], assay.addresses.s3_secret_key]
    listing = b"".join(path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()).decode()
    assert [secret for secret in secrets if secret in listing] == []


def test_the_api_tells_nothing_without_a_key(assay: AssayUp) -> None:
    answer = httpx2.get(f"{assay.doors.api_url}/v1/images/anything", timeout=10)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert httpx2.get(f"{assay.doors.api_url}/health/ready", timeout=10).status_code == 200
