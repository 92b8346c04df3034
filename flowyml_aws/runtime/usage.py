"""Use of the machine by a job, and the phases of its time, as an attempt records them."""

from __future__ import annotations

from enum import Enum
from typing import Literal

from flowyml_aws.artifacts.documents import Document

__all__ = ["JobUsage", "Phase", "PhaseKind", "RunnerStart", "Series", "StepUsage"]


class PhaseKind(str, Enum):
    """A part of the time that a job takes on its machine."""

    LAYER = "layer"
    """Packages are installed."""
    CODE = "code"
    """Bundle and payload are read and unpacked. Earlier versions count `PROGRAM` here, too."""
    PROGRAM = "program"
    """The user's program is loaded, which imports its modules."""
    INPUTS = "inputs"
    """Values are loaded from the store."""
    STEP = "step"
    """The user's code runs."""
    OUTPUTS = "outputs"
    """Values are written to the store."""


class Phase(Document):
    """A period of an attempt.

    Attributes:
        step: Step that it belongs to, or None.
        started_at, ended_at: Times in seconds since the epoch.
    """

    kind: PhaseKind
    step: str | None = None
    started_at: float
    ended_at: float


class Series(Document):
    """A measured quantity in periods of equal length.

    Attributes:
        name: Quantity with its unit: `cpu_cores`, `memory_mib`, `disk_read_mib_s`,
            `disk_write_mib_s`, `network_in_mib_s`, `network_out_mib_s`, `gpu0_percent`,
            `gpu0_memory_mib`, and so on for each GPU.
        low, high: Lowest and highest value of each period.
    """

    name: str
    low: tuple[float, ...]
    high: tuple[float, ...]


class StepUsage(Document):
    """Use of the machine while one step ran.

    Attributes:
        cpu_core_s: Processor time in core-seconds.
        memory_peak_mib: Highest memory of the job while the step ran, in MiB.
        gpu_percent: Mean utilization of each GPU in percent; empty without GPUs.
        gpu_memory_peak_mib: Highest memory of each GPU in MiB; empty without GPUs.
    """

    cpu_core_s: float
    memory_peak_mib: float
    gpu_percent: tuple[float, ...] = ()
    gpu_memory_peak_mib: tuple[float, ...] = ()


class RunnerStart(Document):
    """Times at the start of a runner, in seconds since the epoch.

    Attributes:
        process_at: Start of the process; None if its operating system does not report it.
        imported_at: Time at which Python and the modules of the runner were loaded.
    """

    process_at: float | None = None
    imported_at: float


class JobUsage(Document):
    """Use of the machine during one attempt, written only by its runner.

    Attributes:
        started_at: Start of the first period, in seconds since the epoch.
        period_s: Length of the periods of all series, in seconds.
        series: Measured quantities; all have the same number of periods.
        steps: Use of the machine by step.
        phases: Phases in the order in which they began.
        pull_started_at, pull_ended_at: Times of the pull of the image, in seconds since the epoch,
            if the agent of Amazon ECS reports them.
        machine_started_at: Start of the machine's operating system, in seconds since the epoch.
        start: Start of the runner; None in documents of earlier versions.
        missing: Reason why a quantity was not measured, one for each cause.
    """

    version: Literal[1] = 1
    attempt: int
    started_at: float
    period_s: float
    series: tuple[Series, ...]
    steps: dict[str, StepUsage]
    phases: tuple[Phase, ...]
    pull_started_at: float | None = None
    pull_ended_at: float | None = None
    machine_started_at: float | None = None
    start: RunnerStart | None = None
    missing: tuple[str, ...] = ()
