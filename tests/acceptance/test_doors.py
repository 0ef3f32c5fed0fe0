"""What a person finds around a running Assay: Flower behind its password, a doctor that finds all well."""

import json
import os
import stat
import subprocess
import sys

import httpx2
import pytest
from sqlalchemy import make_url

from infra.embedded.ports import inodes_of, listeners
from tests.support.assay_up import AssayUp, command_line, wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]


def test_flower_wants_its_password_and_then_shows_the_worker(assay: AssayUp) -> None:
    user, password = assay.doors.flower_login.split(":", 1)
    page = f"{assay.doors.flower_url}/workers"
    assert httpx2.get(page, timeout=10).status_code == 401

    def shown() -> bool:  # Flower learns of a worker from its next heartbeat
        answer = httpx2.get(page, auth=(user, password), timeout=20)
        assert answer.status_code == 200
        return "celery@" in answer.text

    wait_until(shown, 60, "Flower to show the worker")
    queues = httpx2.get(f"{assay.doors.flower_url}/api/queues/length", auth=(user, password), timeout=20)
    assert queues.status_code == 200
    assert {"scan.live", "scan.bulk"} <= {queue["name"] for queue in queues.json()["active_queues"]}


def test_the_doctor_finds_a_running_stack_healthy(assay: AssayUp) -> None:
    environment = {**os.environ, "ASSAY_DATA_DIR": str(assay.data_dir)}  # noqa: TID251 - a process as a person starts it
    command = [sys.executable, "-m", "infra.cli", "doctor", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    assert {finding["part"]: finding["found"] for finding in findings if not finding["healthy"]} == {}
    assert done.returncode == 0


def test_no_process_shows_a_secret_in_its_arguments(assay: AssayUp) -> None:
    secrets = {
        "API key": assay.doors.api_key,
        "Flower's password": assay.doors.flower_login.split(":", 1)[1],
        "S3 secret key": assay.addresses.s3_secret_key,
        "database password": make_url(assay.addresses.database_url).password,
        "Valkey password": make_url(assay.addresses.redis_url).password,
    }
    shown = b"\0".join(map(command_line, assay.pids()))
    assert b"infra.cli\0worker\0" in shown
    assert [name for name, secret in secrets.items() if str(secret).encode() in shown] == []


def test_nothing_of_the_whole_stack_listens_beyond_the_loopback_address(assay: AssayUp) -> None:
    inodes = set().union(*map(inodes_of, assay.pids()))
    found = [listener for listener in listeners() if listener.inode in inodes]
    # Postgres, Valkey, the object store, the metrics of worker and dispatcher, the API and Flower.
    assert len({listener.port for listener in found}) == 7
    assert {listener.address for listener in found} == {"127.0.0.1"}


def test_curl_reads_the_key_from_a_file_that_is_for_its_owner_alone(assay: AssayUp) -> None:
    header = assay.data_dir / "api_key.header"
    assert stat.S_IMODE(header.stat().st_mode) == 0o600
    name, value = header.read_text().strip().split(": ")
    answer = httpx2.get(f"{assay.doors.api_url}/v1/scans?state=dead", headers={name: value}, timeout=10)
    assert answer.status_code == 200


def test_what_is_printed_at_the_start_holds_no_secret(assay: AssayUp) -> None:
    printed = (assay.data_dir / "up.log").read_text()
    assert "Assay is up." in printed
    secrets = (assay.doors.api_key, assay.doors.flower_login.split(":", 1)[1], assay.addresses.s3_secret_key)
    assert [secret for secret in secrets if secret in printed] == []


def test_the_api_tells_nothing_without_a_key(assay: AssayUp) -> None:
    answer = httpx2.get(f"{assay.doors.api_url}/v1/images/anything", timeout=10)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert httpx2.get(f"{assay.doors.api_url}/health/ready", timeout=10).status_code == 200
