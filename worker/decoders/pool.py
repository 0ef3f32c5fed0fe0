"""A few warm decoder processes for the many threads of a worker; each does one file at a time.

A process that dies, hangs or swells is replaced at once. What that means for the file is decided here: who uses up its
processor time is too complex, whatever else happened is tried once more in a fresh process, so that no image pays for
what another one left behind, or for a machine that stood still.
"""

import queue
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from worker.decoders.answers import receive_facts, receive_look
from worker.decoders.child import OUT_OF_MEMORY
from worker.decoders.look import FileFacts, Look
from worker.decoders.messages import ClosedError, Line
from worker.errors import AssayError, CrashesDecoderError, PermanentError, Reason, TooComplexError, TransientError
from worker.images.sampling import MOST_FRAMES
from worker.images.views import ViewPlan
from worker.log import get_logger

log = get_logger()

# -P: nothing is imported from the folder that this process happens to be in.
_COMMAND = (sys.executable, "-P", "-m", "worker.decoders.child")
# Its own arithmetic is small: one thread is enough, and threads would be started before it leaves the network.
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1"}
_START_SECONDS = 60.0
_LEAVE_SECONDS = 5.0

Result = TypeVar("Result")
Observe = Callable[[str, float], None]


def _nothing(_stage: str, _ms: float) -> None:
    """Observe nothing."""


class DecoderStartError(TransientError):
    """The processes that decode images do not start; `assay doctor` says more."""


class DecoderDefectError(AssayError):
    """The process that decodes images failed for reasons that are not the image's."""


class RejectedError(PermanentError):
    """A decoder process rejected the image; reason and detail are its own."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class _LostError(Exception):
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


class DecoderPool:
    """Reads files and looks at images; many threads may ask at once, and wait for a free process."""

    def __init__(self, count: int, limits: Limits, anchors: str, *, command: tuple[str, ...] = _COMMAND) -> None:
        """Keep the limits; processes start when they are first needed, or all at once by :meth:`start`.

        Args:
            count: processes kept.
            limits: what one file may cost.
            anchors: PEM certificates of those whose signatures are trusted; empty trusts nobody.
            command: starts a decoder process; its arguments are added.
        """
        self._limits = limits
        self._children = [_Child(command, limits, anchors) for _ in range(count)]
        self._idle: queue.LifoQueue[_Child] = queue.LifoQueue()
        for child in self._children:
            self._idle.put(child)

    def start(self) -> None:
        """Start every process, without waiting until they are ready."""
        for child in self._children:
            child.spawn()

    def close(self) -> None:
        """End every process."""
        for child in self._children:
            child.end()

    def holds(self) -> list[str]:
        """Name what ties a process down, such as `memory` and `seccomp`; raises DecoderStartError."""
        with self._borrowed() as child:
            return child.ready()

    def alive(self) -> bool:
        """Tell whether not all processes are over one file for longer than starting and decoding it may take."""
        return not all(child.stands_still() for child in self._children)

    def pids(self) -> list[int]:
        """Return the process ids of those that run."""
        return [child.pid for child in self._children if child.pid is not None]

    def read(self, data: bytes, observe: Observe = _nothing) -> FileFacts:
        """Hash a file and read what it says of its origin.

        A C2PA manifest that cannot be read within the limits is invalid, which costs the image no more than that.

        Args:
            data: the whole file.
            observe: told each stage and its milliseconds.

        Raises:
            PermanentError: the image is to blame.
            DecoderStartError: the processes do not start.
            DecoderDefectError: they fail for reasons of their own.
        """
        try:
            return self._ask({"work": "read", "manifest": True}, data, receive_facts, observe)
        except (TooComplexError, CrashesDecoderError) as error:
            log.warning("manifest_not_read", size_bytes=len(data), detail=error.detail)
            return self._ask({"work": "read", "manifest": False}, data, receive_facts, observe)

    def look(self, data: bytes, plans: Mapping[str, ViewPlan], observe: Observe = _nothing) -> Look:
        """Decode an image and cut the views that are planned, by detector name; raises as :meth:`read`."""
        plain = {name: plan.to_json() for name, plan in plans.items()}
        limits = {"max_pixels": self._limits.max_pixels, "most_frames": self._limits.most_frames}
        head = {"work": "look", "plans": plain, **limits}
        return self._ask(head, data, partial(receive_look, plans=plans), observe)

    def _ask(
        self, head: dict[str, Any], data: bytes, receive: Callable[[dict[str, Any], Line], Result], observe: Observe
    ) -> Result:
        try:
            return self._ask_one(head, data, receive, observe)
        except _LostError as lost:
            if lost.certain:
                raise lost.error from lost
            log.warning("decoder_lost", detail=lost.error.detail)
        try:
            return self._ask_one(head, data, receive, observe)
        except _LostError as lost:
            raise lost.error from lost

    def _ask_one(
        self, head: dict[str, Any], data: bytes, receive: Callable[[dict[str, Any], Line], Result], observe: Observe
    ) -> Result:
        with self._borrowed() as child:
            stages, result = child.ask(head, data, receive)
        for stage, ms in stages.items():
            observe(stage, ms)
        return result

    @contextmanager
    def _borrowed(self) -> Iterator["_Child"]:
        child = self._idle.get()
        child.busy_since = time.monotonic()
        try:
            yield child
        finally:
            child.busy_since = None
            self._idle.put(child)


class _Child:
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
            _LostError: it is gone; a new one is on its way.
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
            raise _LostError(TooComplexError(f"no answer within {limits.wall_seconds} s")) from error
        except (OSError, ClosedError, LookupError, TypeError, ValueError) as error:
            fresh = self._files == 0
            code = self.end(_LEAVE_SECONDS)
            self.spawn()
            raise _LostError(_meaning(code, limits), certain=_is_certain(code, fresh=fresh)) from error
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
