"""Decodes a suspect image in a process of its own that may die without harm.

Two workers died or hung while they held this image. The child has a bound on
memory and time; if it dies, the image is the culprit and is rejected.
"""

import json
import resource
import subprocess
import sys

from PIL import Image

from worker.decode import Decoded, decode
from worker.errors import CrashesDecoderError, PermanentError, Reason

_REJECTED = 3  # exit code of a child that judged the image and lives


class ReportedRejectionError(PermanentError):
    """The child process rejected the image; reason and detail are its own."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def decode_isolated(data: bytes, *, max_pixels: int, timeout_seconds: float, memory_bytes: int) -> Decoded:
    """Decode as :func:`worker.decode.decode` does, in a killable, memory-limited process.

    Raises:
        CrashesDecoderError: the process died, hung or outgrew its memory.
        PermanentError: what :func:`worker.decode.decode` would have raised.
    """
    command = [sys.executable, "-m", "worker.isolation", str(max_pixels), str(memory_bytes)]
    try:
        child = subprocess.run(command, input=data, capture_output=True, timeout=timeout_seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise CrashesDecoderError(f"decoding took longer than {timeout_seconds} s in a process of its own") from error
    if child.returncode == _REJECTED:
        report = json.loads(child.stdout)
        raise ReportedRejectionError(Reason(report["reason"]), report["detail"])
    if child.returncode != 0:
        raise CrashesDecoderError(f"the decoding process ended with code {child.returncode}")
    header, _, pixels = child.stdout.partition(b"\n")
    said = json.loads(header)
    return Decoded(Image.frombytes("RGB", tuple(said["size"]), pixels), said["format"])


def main() -> None:
    """Be the child: decode standard input, write a JSON line and the raw pixels."""
    max_pixels, memory_bytes = int(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        decoded = decode(sys.stdin.buffer.read(), max_pixels=max_pixels)
    except PermanentError as error:
        _write(json.dumps({"reason": error.reason, "detail": error.detail}).encode())
        sys.exit(_REJECTED)
    said = {"size": decoded.image.size, "format": decoded.format}
    _write(json.dumps(said).encode() + b"\n" + decoded.image.tobytes())


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
