"""The process that reads manifests: it answers alike, may be killed, and is started anew."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from worker.provenance.c2pa_manifest import read_manifest
from worker.provenance.c2pa_process import C2paProcess, C2paProcessError, manifest_reader
from worker.provenance.findings import Manifest, SignatureState
from worker.testing.provenance import Authority

MEMORY = 2 * 1024**3
UNREAD = Manifest(SignatureState.TAMPERED, problems=("cannot be read within the limits",))


@pytest.fixture(scope="module")
def signed(authority: Authority, picture: Callable[..., bytes]) -> bytes:
    return authority.sign(picture())


@pytest.fixture(scope="module")
def reader(authority: Authority) -> Iterator[C2paProcess]:
    made = C2paProcess(authority.anchor, timeout_seconds=30, memory_bytes=MEMORY)
    yield made
    made.close()


def pid_of(reader: C2paProcess) -> int:
    assert reader._child is not None
    return reader._child.pid


def test_it_says_what_reading_here_would_say_and_serves_many(
    reader: C2paProcess, signed: bytes, authority: Authority
) -> None:
    pids = set()
    for data in (signed, signed[:-200] + b"\x00" * 200, b"junk", b"", signed):
        assert reader(data) == read_manifest(data, authority.anchor)
        pids.add(pid_of(reader))
    assert len(pids) == 1


def test_a_child_that_died_is_replaced(reader: C2paProcess, signed: bytes) -> None:
    expected = reader(signed)
    os.kill(pid_of(reader), signal.SIGKILL)
    assert reader(signed) == expected  # whether it is found dead or dies while it is asked
    assert reader(signed) == expected


def test_a_child_that_dies_of_something_else_costs_no_file_its_signature(reader: C2paProcess, signed: bytes) -> None:
    expected = reader(signed)
    reader.close()
    # Reads a byte of what it is asked, says nothing that could be an answer, and ends.
    reader._child = subprocess.Popen(["/usr/bin/head", "-c", "1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert reader(signed) == expected


def test_a_file_that_takes_too_long_is_invalid_and_the_next_one_is_read(authority: Authority, signed: bytes) -> None:
    reader = C2paProcess(authority.anchor, timeout_seconds=0.3, memory_bytes=MEMORY)
    reader._timeout = 30  # for the first
    expected = reader(signed)
    os.kill(pid_of(reader), signal.SIGSTOP)
    reader._timeout = 0.3
    with capture_logs():
        assert reader(signed * 20) == UNREAD
    reader._timeout = 30
    assert reader(signed) == expected
    reader.close()


def test_a_file_that_takes_too_much_memory_is_invalid(signed: bytes) -> None:
    reader = C2paProcess("", timeout_seconds=30, memory_bytes=1024 * 1024)
    with capture_logs():
        assert reader(signed) == UNREAD
    reader.close()


def test_a_process_that_cannot_start_is_not_the_file_s_fault(signed: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = C2paProcess("", timeout_seconds=30, memory_bytes=MEMORY)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(C2paProcessError):
        reader(signed)
    monkeypatch.undo()
    assert reader(signed).state is SignatureState.UNTRUSTED
    reader.close()


def test_modules_in_the_folder_that_is_scanned_are_not_run(
    signed: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('run')")
    monkeypatch.chdir(tmp_path)
    reader = C2paProcess("", timeout_seconds=30, memory_bytes=MEMORY)
    assert reader(signed).state is SignatureState.UNTRUSTED
    reader.close()


def test_without_anchors_nobody_is_trusted(signed: bytes) -> None:
    reader = manifest_reader(None, MEMORY)
    assert reader(signed).state is SignatureState.UNTRUSTED
    reader.close()
