"""How many cores this process has, and how sessions share them."""

import math
import os
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_CPU_MAX = "cpu.max"  # version 2: "<quota> <period>" or "max <period>"
_CFS_QUOTA, _CFS_PERIOD = "cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"  # version 1; a quota of -1 is none


def usable_cores(cgroups: Path = _CGROUPS) -> int:
    """Cores that this process may use: its CPU affinity, and within it a container's quota, rounded up.

    cgroups: where the kernel shows the container's control group, of version 2 or 1.
    """
    cores = len(os.sched_getaffinity(0))
    quota = _quota(cgroups)
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def _quota(cgroups: Path) -> float | None:
    """Cores' worth of CPU time, or None where no quota is set or to be seen, as outside of Linux."""
    try:
        if (cgroups / _CPU_MAX).is_file():
            quota, period = (cgroups / _CPU_MAX).read_text(encoding="utf-8").split()
        else:
            quota, period = ((cgroups / name).read_text(encoding="utf-8") for name in (_CFS_QUOTA, _CFS_PERIOD))
        return None if quota == "max" or int(quota) < 0 else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def share_cores(cores: int, sessions: int, threads: int) -> tuple[int, int]:
    """Return how many sessions run on `cores` and with how many threads each; 0 in `sessions` or `threads` is chosen.

    With both 0 each core gets a session of one thread: threads of one inference wait for each other, sessions do not.
    """
    if not threads:
        threads = max(1, cores // sessions) if sessions else 1
    return sessions or max(1, cores // threads), threads
