from __future__ import annotations

from flowyml_aws.runtime.peaks import StepPeaks, peaks_of
from flowyml_aws.runtime.usage import JobUsage, Phase, PhaseKind, Series, StepUsage


def usage(**steps: StepUsage) -> JobUsage:
    """Return the use by step `a` from 10 to 12 s, and step `b` from 14 to 18 s."""
    return JobUsage(
        attempt=1,
        started_at=10.0,
        period_s=2.0,
        series=(
            Series(name="memory_mib", low=(9.0,) * 4, high=(9.0,) * 4),
            Series(name="cpu_cores", low=(0.0,) * 4, high=(0.5, 7.0, 3.0, 1.0)),
        ),
        steps=steps,
        phases=(
            Phase(kind=PhaseKind.STEP, step="a", started_at=10.0, ended_at=12.0),
            Phase(kind=PhaseKind.OUTPUTS, step="b", started_at=12.0, ended_at=14.0),
            Phase(kind=PhaseKind.STEP, step="b", started_at=14.0, ended_at=18.0),
        ),
    )


def test_a_peak_is_the_highest_of_the_periods_of_the_step() -> None:
    used = usage(b=StepUsage(cpu_core_s=6.0, memory_peak_mib=99.2))
    assert peaks_of(used) == {
        "b": StepPeaks(cpu_mean_cores=1.5, cpu_peak_cores=3.0, memory_mib=100)
    }


def test_a_mean_above_the_measured_periods_is_the_peak() -> None:
    (peaks,) = peaks_of(usage(a=StepUsage(cpu_core_s=4.0, memory_peak_mib=1.0))).values()
    assert (peaks.cpu_mean_cores, peaks.cpu_peak_cores) == (2.0, 2.0)


def test_a_step_outside_the_measured_periods_has_its_mean() -> None:
    phases = (Phase(kind=PhaseKind.STEP, step="a", started_at=4.0, ended_at=8.0),)
    early = usage(a=StepUsage(cpu_core_s=2.0, memory_peak_mib=1.0))
    (peaks,) = peaks_of(early.model_copy(update={"phases": phases})).values()
    assert peaks.cpu_peak_cores == 0.5


def test_each_gpu_is_kept() -> None:
    step = StepUsage(
        cpu_core_s=1.0,
        memory_peak_mib=1.0,
        gpu_percent=(71.5, 0.0),
        gpu_memory_peak_mib=(900.1, 3.0),
    )
    (peaks,) = peaks_of(usage(a=step)).values()
    assert (peaks.gpu_percent, peaks.gpu_memory_mib) == ((71.5, 0.0), (901, 3))


def test_a_step_that_was_not_measured_has_no_peaks() -> None:
    assert peaks_of(usage()) == {}
