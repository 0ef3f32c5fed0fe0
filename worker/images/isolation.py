"""Decodes a suspect image in a process of its own that may die without harm.

Two workers died or hung while they held this image. The child has a bound on
memory and time; if it dies, the image is the culprit and is rejected.
"""

import json
import math
import resource
import signal
import subprocess
import sys

from PIL import Image

from worker.errors import CrashesDecoderError, PermanentError, Reason, TransientError
from worker.images.decode import Decoded, decode

# Exit codes of a child that judged the image and lives, and of one that outgrew its memory.
_REJECTED, _OUT_OF_MEMORY = 3, 4
# What processes are told when they shall stop; no image does that.
_STOPPED = {-signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP}


class DecodingStoppedError(TransientError):
    """The process that decoded the image was told to stop."""


class ReportedRejectionError(PermanentError):
    """The child process rejected the image; reason and detail are its own."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def decode_isolated(data: bytes, *, max_pixels: int, timeout_seconds: float, memory_bytes: int) -> Decoded:
    """Decode as :func:`worker.images.decode.decode` does, in a killable, memory-limited process.

    Raises:
        CrashesDecoderError: the process died, hung or outgrew its memory.
        PermanentError: what :func:`worker.images.decode.decode` would have raised.
        DecodingStoppedError: the process was told to stop.
        RuntimeError: the process failed for reasons that are not the image's.
    """
    limits = [str(max_pixels), str(memory_bytes), str(math.ceil(timeout_seconds) + 1)]
    # -P: nothing is imported from the folder that this process happens to be in.
    command = [sys.executable, "-P", "-m", "worker.images.isolation", *limits]
    try:
        child = subprocess.run(
            # In a session of its own: who stops the worker's group does not mean the child.
            command,
            input=data,
            capture_output=True,
            timeout=timeout_seconds,
            check=False,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as error:
        raise CrashesDecoderError(f"decoding took longer than {timeout_seconds} s in a process of its own") from error
    if child.returncode == _REJECTED:
        report = json.loads(child.stdout)
        raise ReportedRejectionError(Reason(report["reason"]), report["detail"])
    if child.returncode == _OUT_OF_MEMORY:
        raise CrashesDecoderError(f"decoding takes more memory than {memory_bytes} bytes")
    if child.returncode in _STOPPED:
        raise DecodingStoppedError
    if child.returncode < 0:
        raise CrashesDecoderError(f"the decoding process was ended by signal {-child.returncode}")
    if child.returncode > 0:
        complaint = child.stderr.decode(errors="replace")[-500:]
        raise RuntimeError(f"the decoding process ended with code {child.returncode}: {complaint}")
    header, _, pixels = child.stdout.partition(b"\n")
    said = json.loads(header)
    return Decoded(Image.frombytes("RGB", tuple(said["size"]), pixels), said["format"])


def main() -> None:
    """Be the child: decode standard input, write a JSON line and the raw pixels."""
    max_pixels, memory_bytes, seconds = (int(argument) for argument in sys.argv[1:])
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)  # a worker started under nohup hands down that it ignores some
    signal.alarm(seconds)  # a parent that died cannot kill a child that hangs
    try:
        decoded = decode(sys.stdin.buffer.read(), max_pixels=max_pixels)
        said = {"size": decoded.image.size, "format": decoded.format}
        _write(json.dumps(said).encode() + b"\n" + decoded.image.tobytes())
    except PermanentError as error:
        _write(json.dumps({"reason": error.reason, "detail": error.detail}).encode())
        sys.exit(_REJECTED)
    except MemoryError:
        sys.exit(_OUT_OF_MEMORY)


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
