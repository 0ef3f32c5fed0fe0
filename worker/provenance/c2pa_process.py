"""Reads C2PA manifests in a process of its own, which may be killed: hostile ones take any time, memory or the process.

One child serves one file after the other and is started anew when it had to be killed. Files without a manifest never
come here.
"""

import json
import resource
import signal
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO

from worker.errors import TransientError
from worker.log import get_logger
from worker.provenance.anchors import read_anchors
from worker.provenance.c2pa_manifest import read_manifest
from worker.provenance.findings import Manifest, SignatureState, manifest_json, manifest_of

log = get_logger()

# A large picture with a manifest takes some hundredths of a second.
_SECONDS = 5.0
_START_SECONDS = 60.0
_OUT_OF_MEMORY = 4
_LENGTH = struct.Struct(">Q")
_LONGEST_ANSWER = 64 * 1024


class C2paProcessError(TransientError):
    """The process that reads C2PA manifests does not start."""


class _TooSlowError(Exception):
    """The child did not answer in time."""


class C2paProcess:
    """Calls like :func:`~worker.provenance.c2pa_manifest.read_manifest`; many threads may, one at a time is served."""

    def __init__(self, anchors: str, *, timeout_seconds: float, memory_bytes: int) -> None:
        """Keep the limits; the child starts when it is first needed.

        Args:
            anchors: PEM certificates of those whose signatures are trusted.
            timeout_seconds: for one file; the child is killed after it.
            memory_bytes: address space of the child.
        """
        self._anchors = anchors
        self._timeout = timeout_seconds
        self._memory = memory_bytes
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None

    def __call__(self, data: bytes) -> Manifest:
        """Read and verify a file's manifest; what cannot be read within the limits counts as tampered with.

        Raises:
            C2paProcessError: the child does not start, for reasons that are not the file's.
        """
        with self._lock:
            answer = self._answered(data)
            if answer is None:
                log.warning("c2pa_not_read", size_bytes=len(data), seconds=self._timeout)
                self._end()
                return Manifest(SignatureState.TAMPERED, problems=("cannot be read within the limits",))
        return manifest_of(json.loads(answer))

    def _answered(self, data: bytes) -> bytes | None:
        """Return the child's answer, None where this file is what it died of or took too long over."""
        served_others = self._child is not None
        try:
            answer = self._asked(self._started(), data, self._timeout)
            if answer is None and served_others:
                # An earlier file may have left it too little memory, or the system has killed it.
                self._end()
                answer = self._asked(self._started(), data, self._timeout)
        except _TooSlowError:
            return None
        return answer

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._end()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is not None and self._child.poll() is None:
            return self._child
        self._end()
        # -P: nothing is imported from the folder that somebody scans.
        command = [sys.executable, "-P", "-m", "worker.provenance.c2pa_process", str(self._memory)]
        self._child = subprocess.Popen(
            # In a session of its own: who stops the worker's group does not mean the child.
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        # Its start, imports included, is not on the first file's account.
        try:
            started = self._asked(self._child, self._anchors.encode(), _START_SECONDS)
        except _TooSlowError:
            started = None
        if started is None:
            self._end()
            raise C2paProcessError
        return self._child

    def _asked(self, child: subprocess.Popen[bytes], data: bytes, seconds: float) -> bytes | None:
        """Send bytes to the child and return its answer; None where it dies.

        Raises:
            _TooSlowError: it took too long, and was killed.
        """
        assert child.stdin is not None  # noqa: S101 (given as pipes above)
        assert child.stdout is not None  # noqa: S101
        too_slow = threading.Event()

        def kill() -> None:
            too_slow.set()
            child.kill()

        killer = threading.Timer(seconds, kill)
        killer.daemon = True
        killer.start()
        try:
            child.stdin.write(_LENGTH.pack(len(data)))
            child.stdin.write(data)
            child.stdin.flush()
            answer = _received(child.stdout, _LONGEST_ANSWER)
        except OSError:
            answer = None
        finally:
            killer.cancel()
        if answer is None and too_slow.is_set():
            raise _TooSlowError
        return answer

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        for pipe in (child.stdin, child.stdout):
            with suppress(OSError):  # what was left unsent finds nobody
                pipe.close()  # type: ignore[union-attr]  # both are pipes
        child.wait()


def manifest_reader(anchors: Path | None, memory_bytes: int, *, fetched: Path | None = None) -> C2paProcess:
    """Return what reads manifests for one process.

    Args:
        anchors: file or folder with certificates to trust.
        memory_bytes: address space of the child.
        fetched: folder of the trust lists that were fetched.

    Raises:
        TrustAnchorsError: there are none where they should be.
    """
    return C2paProcess(read_anchors(anchors, fetched), timeout_seconds=_SECONDS, memory_bytes=memory_bytes)


def _received(pipe: IO[bytes], longest: int | None = None) -> bytes | None:
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    if longest is not None and length > longest:
        return None
    body = pipe.read(length)
    return body if len(body) == length else None


def main() -> None:
    """Be the child: anchors first, then files, each answered by its manifest as JSON."""
    memory = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends when its parent closes the pipe
    anchors = (_received(sys.stdin.buffer) or b"").decode()
    _answer(b"ready")
    try:
        while (data := _received(sys.stdin.buffer)) is not None:
            _answer(json.dumps(manifest_json(read_manifest(data, anchors))).encode())
    except MemoryError:
        sys.exit(_OUT_OF_MEMORY)


def _answer(body: bytes) -> None:
    sys.stdout.buffer.write(_LENGTH.pack(len(body)) + body)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
