"""A few warm decoder processes for the many threads of a worker; each does one file at a time.

A process that dies, hangs or swells is replaced at once. What that means for the file is decided here: who uses up its
processor time is too complex, whatever else happened is tried once more in a fresh process, so that no image pays for
what another one left behind, or for a machine that stood still.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from worker.decoders.answers import receive_facts, receive_look
from worker.decoders.idle import Idle
from worker.decoders.look import FileFacts, Look
from worker.decoders.messages import Line
from worker.decoders.process import DecoderProcess, Limits, ProcessLostError
from worker.errors import CrashesDecoderError, TooComplexError
from worker.images.views import ViewPlan
from worker.log import get_logger

log = get_logger()

# -P: nothing is imported from the folder that this process happens to be in.
_COMMAND = (sys.executable, "-P", "-m", "worker.decoders.child")

Result = TypeVar("Result")
Observe = Callable[[str, float], None]


def _nothing(_stage: str, _ms: float) -> None:
    """Observe nothing."""


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
        self._children = [DecoderProcess(command, limits, anchors) for _ in range(count)]
        self._idle = Idle(self._children)

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

    def read(self, data: bytes, observe: Observe = _nothing, *, bulk: bool = False) -> FileFacts:
        """Hash a file and read what it says of its origin.

        A C2PA manifest that cannot be read within the limits is invalid, which costs the image no more than that.

        Args:
            data: the whole file.
            observe: told each stage and its milliseconds.
            bulk: let all others go first.

        Raises:
            PermanentError: the image is to blame.
            DecoderStartError: the processes do not start.
            DecoderDefectError: they fail for reasons of their own.
        """
        try:
            return self._ask({"work": "read", "manifest": True}, data, receive_facts, observe, bulk=bulk)
        except (TooComplexError, CrashesDecoderError) as error:
            log.warning("manifest_not_read", size_bytes=len(data), detail=error.detail)
            return self._ask({"work": "read", "manifest": False}, data, receive_facts, observe, bulk=bulk)

    def look(
        self, data: bytes, plans: Mapping[str, ViewPlan], observe: Observe = _nothing, *, bulk: bool = False
    ) -> Look:
        """Decode an image and cut the views that are planned, by detector name; raises as :meth:`read`."""
        plain = {name: plan.to_json() for name, plan in plans.items()}
        limits = {"max_pixels": self._limits.max_pixels, "most_frames": self._limits.most_frames}
        head = {"work": "look", "plans": plain, **limits}
        return self._ask(head, data, partial(receive_look, plans=plans), observe, bulk=bulk)

    def _ask(
        self,
        head: dict[str, Any],
        data: bytes,
        receive: Callable[[dict[str, Any], Line], Result],
        observe: Observe,
        *,
        bulk: bool,
    ) -> Result:
        try:
            return self._ask_one(head, data, receive, observe, bulk=bulk)
        except ProcessLostError as lost:
            if lost.certain:
                raise lost.error from lost
            log.warning("decoder_lost", detail=lost.error.detail)
        try:
            return self._ask_one(head, data, receive, observe, bulk=bulk)
        except ProcessLostError as lost:
            raise lost.error from lost

    def _ask_one(
        self,
        head: dict[str, Any],
        data: bytes,
        receive: Callable[[dict[str, Any], Line], Result],
        observe: Observe,
        *,
        bulk: bool,
    ) -> Result:
        with self._borrowed(bulk=bulk) as child:
            stages, result = child.ask(head, data, receive)
        for stage, ms in stages.items():
            observe(stage, ms)
        return result

    @contextmanager
    def _borrowed(self, *, bulk: bool = False) -> Iterator["DecoderProcess"]:
        child = self._idle.take(bulk=bulk)
        child.busy_since = time.monotonic()
        try:
            yield child
        finally:
            child.busy_since = None
            self._idle.give(child)
