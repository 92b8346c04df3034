"""Highest use of the machine by each step of an attempt, small enough for the job's summary."""

from __future__ import annotations

import math

from flowyml_aws.artifacts.documents import Document
from flowyml_aws.runtime.usage import JobUsage, Phase, PhaseKind

__all__ = ["StepPeaks", "peaks_of"]


class StepPeaks(Document):
    """Highest use of the machine while one step ran.

    Attributes:
        cpu_mean_cores: Processor time per second of the step.
        cpu_peak_cores: Highest processor time per second in a period that the step was part of.
        memory_mib: Highest memory of the job, in MiB, rounded up.
        gpu_percent: Mean utilization of each GPU in percent; empty if it was not measured.
        gpu_memory_mib: Highest memory of each GPU in MiB, rounded up; empty without GPUs.
    """

    cpu_mean_cores: float
    cpu_peak_cores: float
    memory_mib: int
    gpu_percent: tuple[float, ...] = ()
    gpu_memory_mib: tuple[int, ...] = ()


def peaks_of(usage: JobUsage) -> dict[str, StepPeaks]:
    """Return the peaks of each measured step of an attempt."""
    peaks: dict[str, StepPeaks] = {}
    for name, step in usage.steps.items():
        phases = [p for p in usage.phases if p.kind is PhaseKind.STEP and p.step == name]
        seconds = sum(phase.ended_at - phase.started_at for phase in phases)
        mean_cores = step.cpu_core_s / seconds if seconds > 0 else 0.0
        peaks[name] = StepPeaks(
            cpu_mean_cores=round(mean_cores, 2),
            cpu_peak_cores=round(max(mean_cores, _peak_cores(usage, phases)), 2),
            memory_mib=math.ceil(step.memory_peak_mib),
            gpu_percent=step.gpu_percent,
            gpu_memory_mib=tuple(map(math.ceil, step.gpu_memory_peak_mib)),
        )
    return peaks


def _peak_cores(usage: JobUsage, phases: list[Phase]) -> float:
    """Return the highest value of the periods that the phases are part of."""
    cores = next((each.high for each in usage.series if each.name == "cpu_cores"), ())
    return max(
        (
            value
            for number, value in enumerate(cores)
            for start in [usage.started_at + number * usage.period_s]
            if any(p.started_at < start + usage.period_s and start < p.ended_at for p in phases)
        ),
        default=0.0,
    )
