"""Evidence for the needs of steps: the highest use in earlier runs, and exhausted resources."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

from flowyml_aws.planning.history import RunTimes
from flowyml_aws.runtime.peaks import StepPeaks

__all__ = ["MIN_RUNS", "Evidence", "evidence_of", "together"]

MIN_RUNS = 3
"""Smallest number of measured runs for advice: one or two may have had little data."""

_MIN_GPU_PERCENT = 1.0  # mean utilization of a GPU that a step uses
_MIN_GPU_MIB = 1024  # more than the driver and an unused context take


@dataclass(frozen=True, slots=True)
class Evidence:
    """The highest use of the machine in earlier runs, by a step or by several.

    Attributes:
        runs: Number of runs that measured every step.
        cpu_peak_cores: Highest processor time per second.
        cpu_mean_cores: Highest mean of a run.
        memory_mib: Highest memory in MiB.
        gpus: Highest number of GPUs that a run used; None if fewer than `MIN_RUNS` runs measured
            GPUs, or one of them can't say whether a GPU was used.
        gpu_percent: Highest mean utilization of a GPU in percent.
        gpu_memory_mib: Highest memory of a GPU in MiB.
        grown_memory_mib, grown_gpu_memory_gb, grown_storage_gib: Amount to which a job had to
            grow, after it had used up what it requested; 0 if none did.
        grown_in: Latest run with such a job, or None.
    """

    runs: int = 0
    cpu_peak_cores: float = 0.0
    cpu_mean_cores: float = 0.0
    memory_mib: int = 0
    gpus: int | None = None
    gpu_percent: float = 0.0
    gpu_memory_mib: int = 0
    grown_memory_mib: int = 0
    grown_gpu_memory_gb: int = 0
    grown_storage_gib: int = 0
    grown_in: str | None = None


def evidence_of(step: str, history: Sequence[RunTimes]) -> Evidence:
    """Return the evidence for one step.

    Args:
        step: Name of the step.
        history: Earlier runs, newest first.
    """
    peaks = [
        time.peaks
        for run in history
        if (time := run.steps.get(step)) is not None and time.peaks is not None
    ]
    growths = [(run.run_id, run.grown[step]) for run in history if step in run.grown]
    declared = [growth.declared for _, growth in growths]
    needed = [growth.needed for _, growth in growths]
    grown = list(zip(declared, needed, strict=True))
    return Evidence(
        runs=len(peaks),
        cpu_peak_cores=max((each.cpu_peak_cores for each in peaks), default=0.0),
        cpu_mean_cores=max((each.cpu_mean_cores for each in peaks), default=0.0),
        memory_mib=max((each.memory_mib for each in peaks), default=0),
        gpus=_gpus(peaks),
        gpu_percent=max((p for each in peaks for p in each.gpu_percent), default=0.0),
        gpu_memory_mib=max((mib for each in peaks for mib in each.gpu_memory_mib), default=0),
        grown_memory_mib=_largest((old.memory_mib, new.memory_mib) for old, new in grown),
        grown_gpu_memory_gb=_largest((old.gpu_memory_gb, new.gpu_memory_gb) for old, new in grown),
        grown_storage_gib=_largest((old.storage_gib, new.storage_gib) for old, new in grown),
        grown_in=growths[0][0] if growths else None,
    )


def together(parts: Iterable[Evidence]) -> Evidence:
    """Return the evidence for steps of one job: the maximum of each amount."""
    return reduce(_both, parts)


def _both(a: Evidence, b: Evidence) -> Evidence:
    return Evidence(
        runs=min(a.runs, b.runs),
        cpu_peak_cores=max(a.cpu_peak_cores, b.cpu_peak_cores),
        cpu_mean_cores=max(a.cpu_mean_cores, b.cpu_mean_cores),
        memory_mib=max(a.memory_mib, b.memory_mib),
        gpus=None if a.gpus is None or b.gpus is None else max(a.gpus, b.gpus),
        gpu_percent=max(a.gpu_percent, b.gpu_percent),
        gpu_memory_mib=max(a.gpu_memory_mib, b.gpu_memory_mib),
        grown_memory_mib=max(a.grown_memory_mib, b.grown_memory_mib),
        grown_gpu_memory_gb=max(a.grown_gpu_memory_gb, b.grown_gpu_memory_gb),
        grown_storage_gib=max(a.grown_storage_gib, b.grown_storage_gib),
        grown_in=a.grown_in or b.grown_in,
    )


def _gpus(peaks: Sequence[StepPeaks]) -> int | None:
    measured = [each for each in peaks if each.gpu_memory_mib]
    # With MIG, a GPU does not report its utilization.
    if len(measured) < MIN_RUNS or any(
        len(each.gpu_percent) < len(each.gpu_memory_mib) for each in measured
    ):
        return None
    return max(
        sum(
            percent >= _MIN_GPU_PERCENT or mib >= _MIN_GPU_MIB
            for percent, mib in zip(each.gpu_percent, each.gpu_memory_mib, strict=True)
        )
        for each in measured
    )


def _largest(changes: Iterable[tuple[int, int]]) -> int:
    """Return the largest new amount of those that have grown."""
    return max((new for old, new in changes if new > old), default=0)
