"""Use of the machine by a process and its children: a job that shares its machine with others."""

from __future__ import annotations

import resource
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from flowyml_aws.runtime.meters.own_memory import own_memory
from flowyml_aws.runtime.meters.reading import MIB, ProcessReading

__all__ = ["ProcessMeter"]

_IO = Path("/proc/self/io")


class ProcessMeter:
    """Measures this process and its children.

    Children of children count too, unless they outlive their parent. Memory that processes share
    counts once for each of them.
    """

    def __init__(self) -> None:
        self._psutil: ModuleType | None = None

    def prepare(self) -> None:
        """Import psutil, which takes some of the time in which a job starts.

        Raises:
            ImportError: psutil is not installed: children are measured only once they have ended.
        """
        import psutil

        self._psutil = psutil

    def glance(self) -> ProcessReading:
        """Return the use by this process and the children that have ended, without the disk."""
        memory = own_memory()
        return ProcessReading(
            cpu_s=_cpu_s(resource.RUSAGE_SELF) + _cpu_s(resource.RUSAGE_CHILDREN),
            children_cpu_s=None,
            memory_mib=0.0 if memory is None else memory.resident_mib,
            peak_mib=None if memory is None else memory.peak_mib,
        )

    def read(self) -> ProcessReading:
        """Return the use, also by children that run. It reads the list of all processes."""
        own = replace(self.glance(), disk_mib=_disk_mib())
        if (psutil := self._psutil) is None:
            return own
        cpu_s, memory_mib = 0.0, own.memory_mib
        disk_mib = own.disk_mib
        for child in psutil.Process().children(recursive=True):
            try:
                with child.oneshot():
                    times = child.cpu_times()
                    memory_mib += child.memory_info().rss / MIB
                    if disk_mib is not None:
                        counters = child.io_counters()
                        read, written = counters.read_bytes, counters.write_bytes
                        disk_mib = disk_mib[0] + read / MIB, disk_mib[1] + written / MIB
            except psutil.Error:  # it has just ended
                continue
            ended_s = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
            cpu_s += times.user + times.system + ended_s
        return replace(own, children_cpu_s=cpu_s, memory_mib=memory_mib, disk_mib=disk_mib)


def _disk_mib() -> tuple[float, float] | None:
    """Return the MiB that this process and its ended children have read and written so far."""
    try:
        text = _IO.read_text("ascii")
    except OSError:  # macOS, or a process that has changed its user
        return None
    values = {name: int(value) for name, _, value in (x.partition(":") for x in text.splitlines())}
    return values["read_bytes"] / MIB, values["write_bytes"] / MIB


def _cpu_s(who: int) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime
