"""What the processor offers: how many cores this process may use (in a container fewer than there are), and bf16."""

import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_CPU = Path("/proc/cpuinfo")
_BF16 = {"amx_bf16", "avx512_bf16"}  # as Linux names them


def cores(cgroup: Path = _CGROUP) -> int:
    """Return how many cores may be used, at least 1: a container's CPU limit, rounded up, where it has one.

    Args:
        cgroup: where Linux tells of the container's limits.
    """
    here = len(os.sched_getaffinity(0))
    quota = _quota(cgroup)
    return here if quota is None else min(here, max(1, math.ceil(quota)))


def multiplies_bf16(cpu: Path = _CPU) -> bool:
    """Tell whether the processor has instructions that multiply bf16: AMX or AVX-512 BF16.

    Args:
        cpu: where Linux tells of the processor.
    """
    try:
        return not _BF16.isdisjoint(cpu.read_text(encoding="ascii", errors="replace").split())
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
