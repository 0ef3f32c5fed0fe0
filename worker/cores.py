"""What the processor offers: how many cores this process may use (in a container fewer than there are), and AMX."""

import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_CPU = Path("/proc/cpuinfo")


def cores(cgroup: Path = _CGROUP) -> int:
    """Return how many cores may be used, at least 1: a container's CPU limit, rounded up, where it has one.

    Args:
        cgroup: where Linux tells of the container's limits.
    """
    here = len(os.sched_getaffinity(0))
    quota = _quota(cgroup)
    return here if quota is None else min(here, max(1, math.ceil(quota)))


def has_amx(cpu: Path = _CPU) -> bool:
    """Tell whether the processor multiplies matrices of bf16 in hardware of their own.

    Args:
        cpu: where Linux tells of the processor.
    """
    try:
        return "amx_bf16" in cpu.read_text(encoding="ascii", errors="replace").split()
    except OSError:  # no Linux
        return False


def _quota(cgroup: Path) -> float | None:
    try:
        if (cgroup / "cpu.max").is_file():
            quota, period = (cgroup / "cpu.max").read_text(encoding="ascii").split()
        else:  # the first version of cgroups
            quota, period = (
                (cgroup / "cpu" / f"cpu.cfs_{name}_us").read_text(encoding="ascii") for name in ("quota", "period")
            )
        return float(quota) / float(period) if float(quota) > 0 else None
    except (OSError, ValueError):  # no container, or `max`: no limit
        return None
