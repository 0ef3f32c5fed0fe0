"""Addresses, credentials, the lock, ports, the guardian's bookkeeping and error lines."""

import errno
import os
import socket
import stat
from pathlib import Path

import pytest

from infra.embedded.addresses import (
    StackAddresses,
    last_addresses,
    read_running_stack,
    write_addresses,
)
from infra.embedded.credentials import load_or_create
from infra.embedded.data_lock import DataLock, is_held
from infra.embedded.errors import StackError, from_os_error
from infra.embedded.guardian_process import remaining_children
from infra.embedded.ports import choose, holder_of, inodes_of, is_free, listeners
from infra.embedded.process import last_line

FULL = StackAddresses(
    database_url="postgresql+psycopg://u:p@127.0.0.1:1/assay",
    redis_url="redis://:p@127.0.0.1:2/0",
    s3_endpoint_url="http://127.0.0.1:3",
    s3_access_key="key",
    s3_secret_key="secret",
    s3_region="us-east-1",
    upload_bucket="uploads",
    artifact_bucket="assay-artifacts",
    sqs_queue_url="http://127.0.0.1:3/000000000000/assay-uploads",
)


def test_the_environment_names_every_setting_that_points_at_the_stack() -> None:
    assert FULL.environment() == {
        "ASSAY_DATABASE_URL": "postgresql+psycopg://u:p@127.0.0.1:1/assay",
        "ASSAY_REDIS_URL": "redis://:p@127.0.0.1:2/0",
        "ASSAY_S3_ENDPOINT_URL": "http://127.0.0.1:3",
        "ASSAY_S3_ACCESS_KEY_ID": "key",
        "ASSAY_S3_SECRET_ACCESS_KEY": "secret",
        "ASSAY_S3_REGION": "us-east-1",
        "ASSAY_UPLOAD_BUCKETS": '["uploads"]',
        "ASSAY_ARTIFACT_BUCKET": "assay-artifacts",
        "ASSAY_SQS_QUEUE_URL": "http://127.0.0.1:3/000000000000/assay-uploads",
        "ASSAY_SQS_ENDPOINT_URL": "http://127.0.0.1:3",
    }


def test_a_part_that_is_not_ours_leaves_its_settings_alone() -> None:
    assert StackAddresses(redis_url="redis://x").environment() == {"ASSAY_REDIS_URL": "redis://x"}


def test_addresses_and_credentials_show_no_secret_when_printed(tmp_path: Path) -> None:
    made = load_or_create(tmp_path / "credentials.json")
    assert "secret" not in repr(FULL)
    assert made.postgres_password not in repr(made)


def test_addresses_are_found_while_the_lock_is_held_and_not_after(tmp_path: Path) -> None:
    lock = DataLock(tmp_path / "stack.lock")
    lock.acquire()
    write_addresses(tmp_path, FULL)
    assert read_running_stack(tmp_path) == FULL
    lock.release()
    assert read_running_stack(tmp_path) is None
    assert last_addresses(tmp_path) == FULL


def test_credentials_are_made_once_and_are_for_their_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    first = load_or_create(path)
    assert load_or_create(path) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"postgres_password": "x"'])
def test_damaged_credentials_are_an_error_and_are_not_replaced(tmp_path: Path, content: str) -> None:
    path = tmp_path / "credentials.json"
    path.write_text(content)
    with pytest.raises(StackError, match="damaged"):
        load_or_create(path)
    assert path.read_text() == content


def test_a_lock_is_refused_to_the_second_and_given_again_after_release(tmp_path: Path) -> None:
    path = tmp_path / "stack.lock"
    first, second = DataLock(path), DataLock(path)
    first.acquire()
    with pytest.raises(StackError, match=rf"already runs on {tmp_path} \(pid {os.getpid()}\)"):
        second.acquire()
    assert is_held(path)
    first.release()
    second.acquire()
    second.release()
    assert not is_held(path)


def test_a_dying_stack_is_waited_for_and_no_longer_than_it_may_take(tmp_path: Path) -> None:
    path = tmp_path / "stack.lock"
    ticks = iter([0.0, 1.0, 100.0])
    first, second = DataLock(path), DataLock(path, clock=lambda: next(ticks))
    first.acquire()
    path.write_text("999999999\n")  # its supervisor is gone, its guardian still holds the lock
    with pytest.raises(StackError, match="already runs"):
        second.acquire()
    first.release()


def test_a_listening_port_is_seen_with_its_address_and_its_holder() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        found = [listener for listener in listeners() if listener.port == port]
        assert [listener.address for listener in found] == ["127.0.0.1"]
        assert found[0].inode in inodes_of(os.getpid())
        assert not is_free(port)
        assert holder_of(port).startswith(f"pid {os.getpid()} (")
        assert choose([port]) != port
    assert choose([port]) == port
    assert choose([port], avoid=[port]) != port


def test_the_guardian_stops_what_was_started_and_not_reaped() -> None:
    lines = ["+10 15\n", "+11 2\n", "-10\n", "+12 15\n", "-99\n"]
    assert remaining_children(lines) == {11: 2, 12: 15}


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "the disk is full (/x); free some space"),
        (errno.ENOENT, "file not found (/x); run `make setup`"),
        (errno.EACCES, "permission denied (/x)"),
        (errno.EROFS, "read-only file system (/x)"),
        (errno.EIO, "Input/output error (/x)"),
    ],
)
def test_errors_of_the_operating_system_say_what_to_do(number: int, advice: str) -> None:
    line = str(from_os_error(OSError(number, os.strerror(number), "/x"), "start of valkey"))
    assert line.startswith(f"start of valkey: {advice}")
    assert "\n" not in line


def test_what_a_program_says_of_its_end_is_its_error_not_what_it_cleared_away_after(tmp_path: Path) -> None:
    log = tmp_path / "postgres.log"
    log.write_text("creating ... FATAL:  No space left on device\ninitdb: removing data directory\n\n")
    assert last_line(log) == "initdb: removing data directory"
    assert last_line(log, "FATAL:", "error:") == "creating ... FATAL:  No space left on device"
    assert last_line(log, "no such word") == "initdb: removing data directory"
    assert last_line(tmp_path / "none.log", "error:") == ""
