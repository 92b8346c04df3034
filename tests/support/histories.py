"""Records of earlier runs, for plans and advice."""

from __future__ import annotations

from collections.abc import Mapping

from flowyml_aws.planning.history import Growth, RunTimes, StepTime
from flowyml_aws.planning.needs import Needs
from flowyml_aws.runtime.peaks import StepPeaks

__all__ = ["a_growth", "a_run", "peaks", "runs_of"]


def peaks(
    memory_mib: int = 100,
    cores: float = 1.0,
    gpu_percent: tuple[float, ...] = (),
    gpu_memory_mib: tuple[int, ...] = (),
) -> StepPeaks:
    return StepPeaks(
        cpu_mean_cores=cores / 2,
        cpu_peak_cores=cores,
        memory_mib=memory_mib,
        gpu_percent=gpu_percent,
        gpu_memory_mib=gpu_memory_mib,
    )


def a_run(
    steps: Mapping[str, StepPeaks | None],
    grown: Mapping[str, Growth] | None = None,
    *,
    run_id: str = "earlier",
    seconds: float = 3600.0,
    on: str | None = "c1.large",
    nodes: int = 1,
) -> RunTimes:
    """Return the record of a run in which each step took the same time."""
    return RunTimes(
        run_id=run_id,
        pipeline="p",
        ended_at=0.0,
        steps={
            name: StepTime(duration_s=seconds, instance_type=on, peaks=measured, nodes=nodes)
            for name, measured in steps.items()
        },
        asset_bytes={},
        grown=dict(grown or {}),
    )


def runs_of(step: str, *measured: StepPeaks | None) -> list[RunTimes]:
    """Return the records of runs of one step, newest first."""
    return [a_run({step: each}) for each in measured]


def a_growth(declared: Needs, needed: Needs) -> Growth:
    return Growth(declared=declared, needed=needed)
