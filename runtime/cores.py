"""How many cores this process has, and how sessions share them."""

import math
import os
from pathlib import Path

_CGROUP_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")  # "<quota> <period>" or "max <period>", cgroup v2


def usable_cores(cpu_max_path: Path = _CGROUP_CPU_MAX) -> int:
    """Cores that this process may use: its CPU affinity, and within it a container's quota, rounded up."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = cpu_max_path.read_text(encoding="utf-8").split()
    except (OSError, ValueError):  # not Linux with cgroup v2, or not mounted
        return cores
    return cores if quota == "max" else max(1, min(cores, math.ceil(int(quota) / int(period))))


def share_cores(cores: int, sessions: int, threads: int) -> tuple[int, int]:
    """Return how many sessions run on `cores` and with how many threads each; 0 in `sessions` or `threads` is chosen.

    With both 0 each core gets a session of one thread: threads of one inference wait for each other, sessions do not.
    """
    if not threads:
        threads = max(1, cores // sessions) if sessions else 1
    return sessions or max(1, cores // threads), threads
