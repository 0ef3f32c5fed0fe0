"""Processor time of a running Assay by part, as the kernel counts it; it holds on a busy machine, unlike clock time."""

import os
from collections.abc import Mapping
from pathlib import Path

from tests.support.assay_up import AssayUp, children, command_line, descendants

OWN = ("worker", "decoders", "dispatcher", "listener")
BESIDE = ("api", "training-worker", "flower")
SERVICES = ("postgres", "valkey", "object_store")
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_DECODER = b"worker.decoders.child"


def processor_seconds(assay: AssayUp) -> dict[str, float]:
    """Return processor seconds so far of Assay's processes, and of the services that run elsewhere in earnest."""
    trees = {part: tree_of(assay, part) for part in (*OWN, *BESIDE, *SERVICES) if part != "decoders"}
    decoders = {pid for pid in trees["worker"] if _DECODER in command_line(pid)}
    trees["worker"] -= decoders
    trees["decoders"] = decoders
    return {part: sum(map(seconds_of, pids)) for part, pids in trees.items()}


def tree_of(assay: AssayUp, part: str) -> set[int]:
    """Return the process ids of a part; none where it does not run here."""
    try:
        pid = assay.pid(part)
    except ProcessLookupError:
        return set()
    return {pid} | descendants(pid)


def seconds_of(pid: int) -> float:
    """Return the processor seconds of a process and of its children that have ended; 0 if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICKS_A_SECOND


def spent(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Return what was spent between two readings, by part."""
    return {part: after[part] - before.get(part, 0.0) for part in after}


def thread_seconds(pid: int) -> dict[int, float]:
    """Return processor seconds by thread of a process."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            found[int(task.name)] = int((task / "schedstat").read_text().split()[0]) / 1e9
        except OSError:
            continue
    return found


__all__ = ["BESIDE", "OWN", "SERVICES", "children", "processor_seconds", "spent", "thread_seconds", "tree_of"]
