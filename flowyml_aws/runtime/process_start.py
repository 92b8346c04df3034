"""The start of this process, as the Linux kernel records it."""

from __future__ import annotations

import os
import time
from pathlib import Path

__all__ = ["age_s", "process_started_at"]

_STATISTICS = Path("/proc/self/stat")
_START_TIME = 19  # among the fields after the name; field 22 of all (proc_pid_stat(5))


def process_started_at() -> float | None:
    """Return when this process started, in seconds since the epoch, to a hundredth of a second.

    Return None on other systems than Linux.
    """
    try:
        statistics = _STATISTICS.read_text("utf-8", errors="replace")
        since_boot_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    except (OSError, AttributeError):
        return None
    age = age_s(statistics, since_boot_s, os.sysconf("SC_CLK_TCK"))
    return None if age is None else time.time() - age


def age_s(statistics: str, since_boot_s: float, ticks_per_s: int) -> float | None:
    """Return the age of a process in seconds, at least 0; None if it can't be understood.

    Args:
        statistics: Content of its file `stat`. The name of the program may contain anything.
        since_boot_s: Seconds since the system started.
        ticks_per_s: Unit of the times in the file.
    """
    fields = statistics.rpartition(")")[2].split()
    if len(fields) <= _START_TIME or not fields[_START_TIME].isdecimal():
        return None
    return max(0.0, since_boot_s - int(fields[_START_TIME]) / ticks_per_s)
