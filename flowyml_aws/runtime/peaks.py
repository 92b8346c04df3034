"""Highest use of the machine by each step of an attempt, small enough for the job's summary."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import TypeVar

from flowyml_aws.artifacts.documents import Document
from flowyml_aws.runtime.usage import JobUsage, Phase, PhaseKind

__all__ = ["StepPeaks", "highest", "peaks_of"]

Number = TypeVar("Number", int, float)


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


def highest(peaks: Iterable[StepPeaks]) -> StepPeaks | None:
    """Return the highest of each figure, or None without any peaks."""
    known = list(peaks)
    if not known:
        return None
    return StepPeaks(
        cpu_mean_cores=max(each.cpu_mean_cores for each in known),
        cpu_peak_cores=max(each.cpu_peak_cores for each in known),
        memory_mib=max(each.memory_mib for each in known),
        gpu_percent=_highest_of_each([each.gpu_percent for each in known], 0.0),
        gpu_memory_mib=_highest_of_each([each.gpu_memory_mib for each in known], 0),
    )


def _highest_of_each(rows: Sequence[tuple[Number, ...]], nothing: Number) -> tuple[Number, ...]:
    return tuple(max(column) for column in zip_longest(*rows, fillvalue=nothing))


def peaks_of(usage: JobUsage) -> dict[str, StepPeaks]:
    """Return the peaks of each measured step of an attempt."""
    phases: dict[str | None, list[Phase]] = {}
    for phase in usage.phases:
        if phase.kind is PhaseKind.STEP:
            phases.setdefault(phase.step, []).append(phase)
    cores = next((each.high for each in usage.series if each.name == "cpu_cores"), ())
    peaks: dict[str, StepPeaks] = {}
    for name, step in usage.steps.items():
        own = phases.get(name, [])
        seconds = sum(phase.ended_at - phase.started_at for phase in own)
        mean_cores = step.cpu_core_s / seconds if seconds > 0 else 0.0
        highest = (max(_periods(cores, phase, usage), default=0.0) for phase in own)
        peaks[name] = StepPeaks(
            cpu_mean_cores=round(mean_cores, 2),
            cpu_peak_cores=round(max(mean_cores, *highest, 0.0), 2),
            memory_mib=math.ceil(step.memory_peak_mib),
            gpu_percent=step.gpu_percent,
            gpu_memory_mib=tuple(map(math.ceil, step.gpu_memory_peak_mib)),
        )
    return peaks


def _periods(values: Sequence[float], phase: Phase, usage: JobUsage) -> Sequence[float]:
    """Return the values of the periods that a phase is part of."""
    first = int((phase.started_at - usage.started_at) / usage.period_s)
    end = math.ceil((phase.ended_at - usage.started_at) / usage.period_s)
    return values[max(0, first) : max(0, first + 1, end)]
