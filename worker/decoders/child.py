"""The decoder process: takes one file after the other from its parent's socket and answers with what it holds.

It starts with an empty environment, imports neither torch nor settings, and confines itself before the first file.
"""

import codecs
import encodings
import math
import os
import pkgutil
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from worker.decoders import sandbox
from worker.decoders.look import Animation, FrameLook, Look, look_at, read_file
from worker.decoders.messages import Buffer, ClosedError, Line
from worker.errors import PermanentError
from worker.freed_memory import share_freed_memory
from worker.images.views import ViewPlan
from worker.provenance.c2pa_manifest import read_manifest
from worker.provenance.findings import Manifest, SignatureState

OUT_OF_MEMORY, DEFECT = 4, 5
UNREAD = Manifest(SignatureState.TAMPERED, problems=("cannot be read within the limits",))

Answer = tuple[dict[str, Any], list[Buffer]]


class Stages:
    """Milliseconds by stage."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}
        self._last = time.perf_counter()

    def end(self, name: str) -> None:
        """Note that a stage has ended, and the next begins."""
        now = time.perf_counter()
        self.ms[name], self._last = round(1000 * (now - self._last), 2), now


def main() -> None:
    """Be the child; its arguments are the number of the socket and the memory in bytes."""
    line = Line(socket.socket(fileno=int(sys.argv[1])))
    share_freed_memory()
    load_codecs()
    holds = [*sandbox.leave_network(), *sandbox.confine(int(sys.argv[2]))]
    try:
        anchors = str(line.receive()["anchors"])
        line.send({"holds": holds})
        while True:
            head = line.receive()
            serve(line, head, line.receive_file(head["bytes"]), anchors)
    except (ClosedError, OSError):
        os._exit(0)  # the parent has gone, or wants no more; there is nothing to tidy up
    except BaseException:  # noqa: BLE001 - the boundary of the process: it ends at once, however it was broken.
        os._exit(DEFECT)


def load_codecs() -> None:
    """Import every codec of texts: each is a module of its own, and once confined its file may be out of reach."""
    for module in pkgutil.iter_modules(encodings.__path__):
        with suppress(LookupError):  # no codec, or one of another system
            codecs.lookup(module.name)


def serve(line: Line, head: dict[str, Any], data: bytes, anchors: str) -> None:
    """Answer for one file, within its time; ends the process where the memory does not suffice."""
    _bound(head["cpu_seconds"], head["wall_seconds"])
    work: Callable[..., Answer] = _WORK[head["work"]]
    try:
        answer, parts = work(data, head, anchors)
    except PermanentError as error:
        answer, parts = {"reason": error.reason, "detail": error.detail}, []
    except MemoryError:
        os._exit(OUT_OF_MEMORY)  # at once: there is no memory to tidy up with
    except Exception as error:  # noqa: BLE001 - the boundary of the process; the parent logs it.
        answer, parts = {"defect": f"{type(error).__name__}: {error}"[:500]}, []
    line.send(answer, parts)
    signal.alarm(0)


def _bound(cpu_seconds: float, wall_seconds: float) -> None:
    """Let this file cost so much time and no more, even where the parent has died meanwhile."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time() + cpu_seconds), hard))
    signal.alarm(math.ceil(wall_seconds) + 1)


def _read(data: bytes, head: dict[str, Any], anchors: str) -> Answer:
    stages = Stages()
    facts = read_file(data, (lambda block: read_manifest(block, anchors)) if head["manifest"] else lambda _: UNREAD)
    stages.end("provenance")
    return {"facts": asdict(facts), "ms": stages.ms}, []


def _look(data: bytes, head: dict[str, Any], _anchors: str) -> Answer:
    stages = Stages()
    plans = {name: ViewPlan(**plan) for name, plan in head["plans"].items()}
    limits = {name: head[name] for name in ("max_pixels", "most_frames")}
    look = look_at(data, plans, **limits, end_stage=stages.end)
    answer, parts = _cut(look)
    animation, more = (None, []) if look.animation is None else _animation(look.animation)
    answer |= {"size": look.prepared.size, "pdq": look.pdq, "truncated": look.truncated, "animation": animation}
    return {**answer, "ms": stages.ms}, parts + more


def _animation(animation: Animation) -> Answer:
    parts: list[Buffer] = []
    others = []
    for frame in animation.others:
        cut, more = _cut(frame)
        others.append({**cut, "number": frame.number, "at_ms": frame.at_ms})
        parts += more
    return {**vars(animation), "others": others}, parts


def _cut(look: Look | FrameLook) -> Answer:
    """Return what is measured of a picture, then its views in the order of the plans, and its preview."""
    prepared, preview = look.prepared, look.preview
    views: list[Buffer] = [view.data.cast("B") for view in prepared.views.values()]
    return {"covariates": prepared.covariates, "preview": preview.size}, [*views, preview.tobytes()]


_WORK = {"read": _read, "look": _look}

if __name__ == "__main__":
    main()
