"""One decoder process, and what its end means for the file that it was over."""

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from worker.decoders.child import OUT_OF_MEMORY
from worker.decoders.messages import ClosedError, Line
from worker.errors import AssayError, CrashesDecoderError, PermanentError, Reason, TooComplexError, TransientError
from worker.images.sampling import MOST_FRAMES

_ENVIRONMENT = {
    # Its own arithmetic is small: one thread is enough, and threads would be started before it leaves the network.
    "OPENBLAS_NUM_THREADS": "1",
    # It finds Assay where we did, which need not be installed: an image has it in a folder of PYTHONPATH alone.
    "PYTHONPATH": str(Path(__file__).parents[2]),
}
_START_SECONDS = 60.0
_LEAVE_SECONDS = 5.0

Result = TypeVar("Result")


class DecoderStartError(TransientError):
    """The processes that decode images do not start; `assay doctor` says more."""


class DecoderDefectError(AssayError):
    """The process that decodes images failed for reasons that are not the image's."""


class RejectedError(PermanentError):
    """A decoder process rejected the image; reason and detail are its own."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class ProcessLostError(Exception):
    """A process died or had to be killed over a file.

    Attributes:
        error: what is to be raised where the file is to blame.
        certain: it is, whatever the process did before.
    """

    def __init__(self, error: AssayError, *, certain: bool = False) -> None:
        self.error = error
        self.certain = certain


@dataclass(frozen=True)
class Limits:
    """What one file may cost.

    Attributes:
        max_pixels: most pixels decoded, width times height.
        cpu_seconds: processor time; what needs more is too complex.
        wall_seconds: from the question to the answer; past it the process is killed.
        memory_bytes: address space of a process, its own some 250 MB included.
        most_frames: of an animation that views are cut of, at least 1.
    """

    max_pixels: int
    cpu_seconds: float
    wall_seconds: float
    memory_bytes: int
    most_frames: int = MOST_FRAMES


class DecoderProcess:
    """One decoder process, started anew whenever it is gone; one thread at a time has it."""

    def __init__(self, command: tuple[str, ...], limits: Limits, anchors: str) -> None:
        self._command = command
        self._limits = limits
        self._anchors = anchors
        self._process: subprocess.Popen[bytes] | None = None
        self._line: Line
        self._holds: list[str] | None = None
        self._files = 0
        self.busy_since: float | None = None

    def stands_still(self) -> bool:
        """Tell whether it is over one file for longer than starting and decoding may take."""
        busy_since = self.busy_since
        longest = 2 * _START_SECONDS + self._limits.wall_seconds
        return busy_since is not None and time.monotonic() - busy_since > longest

    def spawn(self) -> None:
        """Start the process; :meth:`ready` waits for it. Raises DecoderStartError."""
        ours, theirs = socket.socketpair()
        arguments = (str(theirs.fileno()), str(self._limits.memory_bytes))
        try:
            # In a session of its own: who stops the worker's group does not mean the child.
            self._process = subprocess.Popen(
                [*self._command, *arguments],
                env=_ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise DecoderStartError(f"{self._command[0]}: {error.strerror}") from error
        finally:
            theirs.close()
        self._line, self._holds, self._files = Line(ours), None, 0

    @property
    def pid(self) -> int | None:
        """The process's id, None where none runs."""
        return None if self._process is None else self._process.pid

    def ready(self) -> list[str]:
        """Wait until it is ready, and return what ties it down; raises DecoderStartError."""
        if self._process is None or self._process.poll() is not None:
            self.end()
            self.spawn()
        if self._holds is None:
            try:
                self._line.allow(_START_SECONDS)
                self._line.send({"anchors": self._anchors})
                self._holds = [str(hold) for hold in self._line.receive()["holds"]]
            except (OSError, ClosedError, KeyError, TypeError) as error:
                code = self.end(_LEAVE_SECONDS)
                raise DecoderStartError(f"`{' '.join(self._command)}` ended with code {code}") from error
        return self._holds

    def ask(
        self, head: dict[str, Any], data: bytes, receive: Callable[[dict[str, Any], Line], Result]
    ) -> tuple[Mapping[str, float], Result]:
        """Let the process do its work on a file; return its stages' milliseconds, and what it found.

        Raises:
            ProcessLostError: it is gone; a new one is on its way.
            RejectedError: the file is no good image.
            DecoderDefectError: its code failed.
            DecoderStartError: it does not start.
        """
        self.ready()
        limits = self._limits
        try:
            self._line.allow(limits.wall_seconds)
            times = {"cpu_seconds": limits.cpu_seconds, "wall_seconds": limits.wall_seconds}
            self._line.send({**head, **times, "bytes": len(data)}, [data])
            answer = self._line.receive()
            if "reason" in answer:
                raise RejectedError(Reason(answer["reason"]), str(answer["detail"]))
            if "defect" in answer:
                raise DecoderDefectError(str(answer["defect"]))
            result = receive(answer, self._line)
        except TimeoutError as error:
            self.end()
            self.spawn()
            raise ProcessLostError(TooComplexError(f"no answer within {limits.wall_seconds} s")) from error
        except (OSError, ClosedError, LookupError, TypeError, ValueError) as error:
            fresh = self._files == 0
            code = self.end(_LEAVE_SECONDS)
            self.spawn()
            raise ProcessLostError(_meaning(code, limits), certain=_is_certain(code, fresh=fresh)) from error
        finally:
            self._files += 1
        return answer["ms"], result

    def end(self, patience: float = 0.0) -> int | None:
        """End the process; return its code, None where there was none.

        Args:
            patience: seconds for one that goes by itself, so that it keeps its own code.
        """
        process, self._process = self._process, None
        if process is None:
            return None
        self._line.close()
        try:
            return process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


def _meaning(code: int | None, limits: Limits) -> PermanentError:
    """Return what is to be raised of an image whose process ended with a code."""
    if code == -signal.SIGXCPU:
        return TooComplexError(f"decoding takes more than {limits.cpu_seconds} s of a processor")
    if code == OUT_OF_MEMORY:
        return TooComplexError(f"decoding takes more memory than {limits.memory_bytes} bytes")
    if code == -signal.SIGALRM:
        return TooComplexError(f"no answer within {limits.wall_seconds} s")
    how = f"was ended by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"
    return CrashesDecoderError(f"the process that decodes it {how}")


def _is_certain(code: int | None, *, fresh: bool) -> bool:
    """Tell whether the image is to blame, whatever the process did before and whatever befell the machine."""
    return code == -signal.SIGXCPU or (code == OUT_OF_MEMORY and fresh)
