"""One measurement of a job, and the quantities between two of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["MIB", "GpuReading", "ProcessReading", "Reading", "values_between"]

MIB = 2**20


@dataclass(frozen=True, slots=True)
class GpuReading:
    """Use of one GPU at one moment.

    Attributes:
        percent: Utilization; None if the GPU does not report it, as with MIG.
        memory_mib: Used memory, of all programs on the GPU.
    """

    percent: float | None
    memory_mib: float


@dataclass(frozen=True, slots=True)
class ProcessReading:
    """Use of processor, memory and disk by a job at one moment.

    Attributes:
        cpu_s: Processor time so far, without that of running children.
        children_cpu_s: Processor time of running children so far; None if it was not measured.
        memory_mib: Memory in use.
        peak_mib: Highest memory of the job's own process so far; None if unknown.
        disk_mib: MiB read and written so far; None if they were not measured.
    """

    cpu_s: float
    children_cpu_s: float | None
    memory_mib: float
    peak_mib: float | None = None
    disk_mib: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """One measurement of a job.

    Attributes:
        at: Time in seconds since the epoch.
        network_mib: MiB received and sent so far; None if they were not measured.
        gpus: Use of each GPU.
    """

    at: float
    process: ProcessReading
    network_mib: tuple[float, float] | None = None
    gpus: tuple[GpuReading, ...] = ()

    def cpu_s_since(self, earlier: Reading) -> float:
        """Return the processor time between two readings."""
        now, before = self.process, earlier.process
        cpu_s = now.cpu_s - before.cpu_s
        if now.children_cpu_s is not None and before.children_cpu_s is not None:
            # The time of a child that has ended moves from the second number to the first.
            cpu_s += now.children_cpu_s - before.children_cpu_s
        return max(0.0, cpu_s)

    def peak_mib_since(self, earlier: Reading) -> float:
        """Return the highest memory between two readings, as far as they prove it."""
        now, before = self.process, earlier.process
        peak_mib = max(now.memory_mib, before.memory_mib)
        if now.peak_mib is None or before.peak_mib is None or now.peak_mib <= before.peak_mib:
            return peak_mib  # the process had its peak earlier
        return max(peak_mib, now.peak_mib)


def values_between(before: Reading, now: Reading) -> dict[str, float]:
    """Return the value of each series for the time between two readings."""
    seconds = max(now.at - before.at, 0.001)
    disk = _rates("disk_read", "disk_write", before.process.disk_mib, now.process.disk_mib, seconds)
    network = _rates("network_in", "network_out", before.network_mib, now.network_mib, seconds)
    return {
        "cpu_cores": now.cpu_s_since(before) / seconds,
        "memory_mib": now.process.memory_mib,
        **dict(disk),
        **dict(network),
        **dict(_gpu_values(now.gpus)),
    }


def _rates(
    inward: str,
    outward: str,
    before: tuple[float, float] | None,
    now: tuple[float, float] | None,
    seconds: float,
) -> Iterator[tuple[str, float]]:
    if before is None or now is None:
        return
    for name, earlier_mib, mib in zip((inward, outward), before, now, strict=True):
        # A counter falls if a device or a process is gone.
        yield f"{name}_mib_s", max(0.0, mib - earlier_mib) / seconds


def _gpu_values(gpus: tuple[GpuReading, ...]) -> Iterator[tuple[str, float]]:
    for number, gpu in enumerate(gpus):
        if gpu.percent is not None:
            yield f"gpu{number}_percent", gpu.percent
        yield f"gpu{number}_memory_mib", gpu.memory_mib
