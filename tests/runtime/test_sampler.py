"""The sampler with a clock and a meter of the tests, in the test's thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from flowyml_aws.artifacts.documents import read_document
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.runtime.meters.machine import MachineMeter
from flowyml_aws.runtime.meters.processes import ProcessMeter
from flowyml_aws.runtime.meters.reading import GpuReading, ProcessReading, Reading
from flowyml_aws.runtime.sampler import Sampler
from flowyml_aws.runtime.usage import JobUsage, Phase, PhaseKind, Series, StepUsage
from flowyml_aws.runtime.usage_size import MAX_BYTES, within_limit
from tests.support.rigs import eventually

KEY = "runs/r-1/jobs/train/attempts/1/usage.json"


class Machine(MachineMeter):
    """A machine whose state the test sets; also its clock."""

    def __init__(self) -> None:
        super().__init__(ProcessMeter(), lambda: None)
        self.now = Reading(1000.0, ProcessReading(0.0, 0.0, 100.0, peak_mib=100.0))

    def time(self) -> float:
        return self.now.at

    def glance(self) -> Reading:
        return replace(self.now, gpus=())

    def read(self) -> Reading:
        return self.now

    def passes(
        self,
        seconds: float,
        cpu_s: float = 0.0,
        memory_mib: float | None = None,
        peak_mib: float | None = None,
    ) -> None:
        """Let time pass, in which the job uses processor time."""
        before = self.now.process
        process = replace(
            before,
            cpu_s=before.cpu_s + cpu_s,
            memory_mib=before.memory_mib if memory_mib is None else memory_mib,
            peak_mib=before.peak_mib if peak_mib is None else peak_mib,
        )
        self.now = replace(self.now, at=self.now.at + seconds, process=process)

    def gpu(self, percent: float, memory_mib: float) -> None:
        self.now = replace(self.now, gpus=(GpuReading(percent, memory_mib),))


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def sampler(machine: Machine) -> Sampler:
    sampler = Sampler(1, machine.time)
    sampler.begin(machine)
    return sampler


def test_a_step_has_its_processor_time_and_memory(machine: Machine, sampler: Sampler) -> None:
    machine.passes(5, cpu_s=5)
    with sampler.phase(PhaseKind.STEP, "train"):
        machine.passes(2, cpu_s=3, memory_mib=700.0)
        sampler.sample()
        machine.passes(2, cpu_s=1, memory_mib=200.0)
    machine.passes(5, cpu_s=5)
    sampler.sample()
    assert sampler.document().steps == {"train": StepUsage(cpu_core_s=4, memory_peak_mib=700)}


def test_a_step_shorter_than_a_period_is_measured_at_its_boundaries(
    machine: Machine, sampler: Sampler
) -> None:
    with sampler.phase(PhaseKind.STEP, "short"):
        machine.passes(0.01, cpu_s=0.009, memory_mib=120.0, peak_mib=800.0)
    with sampler.phase(PhaseKind.STEP, "shorter"):
        machine.passes(0.001)
    assert sampler.document().steps == {
        "short": StepUsage(cpu_core_s=0.009, memory_peak_mib=800),
        "shorter": StepUsage(cpu_core_s=0, memory_peak_mib=120),
    }


def test_the_attempts_of_a_step_are_added_up(machine: Machine, sampler: Sampler) -> None:
    for _ in range(3):
        with sampler.phase(PhaseKind.STEP, "flaky"):
            machine.passes(1, cpu_s=2)
        machine.passes(10, cpu_s=10)
    assert sampler.document().steps["flaky"].cpu_core_s == 6


def test_a_step_has_the_mean_and_the_peak_of_its_gpu(machine: Machine, sampler: Sampler) -> None:
    sampler.prepare()
    machine.gpu(percent=0, memory_mib=10)
    sampler.sample()
    with sampler.phase(PhaseKind.STEP, "train"):
        for percent, memory_mib in ((90, 3000), (30, 8000)):
            machine.passes(10)
            machine.gpu(percent, memory_mib)
            sampler.sample()
        machine.passes(10)
        machine.gpu(60, 1000)
    usage = sampler.document().steps["train"]
    assert (usage.gpu_percent, usage.gpu_memory_peak_mib) == ((60,), (8000,))


def test_phases_are_in_the_order_in_which_they_began(machine: Machine, sampler: Sampler) -> None:
    with sampler.phase(PhaseKind.CODE):
        machine.passes(1)
    with sampler.phase(PhaseKind.INPUTS, "train"):
        machine.passes(2)
    with sampler.phase(PhaseKind.STEP, "train"):
        machine.passes(3)
    assert sampler.document().phases == (
        Phase(kind=PhaseKind.CODE, started_at=1000, ended_at=1001),
        Phase(kind=PhaseKind.INPUTS, step="train", started_at=1001, ended_at=1003),
        Phase(kind=PhaseKind.STEP, step="train", started_at=1003, ended_at=1006),
    )


def test_a_step_that_still_runs_is_in_the_document(machine: Machine, sampler: Sampler) -> None:
    with sampler.phase(PhaseKind.STEP, "train"):
        machine.passes(60, cpu_s=90)
        sampler.sample()
        document = sampler.document()
    assert document.steps["train"].cpu_core_s == 90
    assert document.phases[-1].ended_at == 1060


def test_a_phase_that_fails_is_recorded(machine: Machine, sampler: Sampler) -> None:
    with pytest.raises(ZeroDivisionError), sampler.phase(PhaseKind.STEP, "train"):
        machine.passes(1)
        1 / 0  # noqa: B018
    assert [phase.ended_at for phase in sampler.document().phases] == [1001]


def test_the_document_is_written_at_the_end(tmp_path: Path) -> None:
    store = DirectoryArtifactStore(tmp_path)
    sampler = Sampler(1)
    sampler.start(store, KEY, MachineMeter(ProcessMeter(), lambda: None))
    with sampler.phase(PhaseKind.STEP, "train"):
        sum(range(100_000))
    sampler.close()
    document = read_document(JobUsage, store.get(KEY), KEY)
    assert document.steps["train"].cpu_core_s > 0
    assert {series.name for series in document.series} >= {"cpu_cores", "memory_mib"}


def test_a_document_that_can_not_be_written_is_only_logged(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs").touch()
    store = DirectoryArtifactStore(tmp_path)
    with pytest.raises(SettingsError):
        store.put(KEY, b"{}")
    sampler = Sampler(1)
    sampler.start(store, KEY, MachineMeter(ProcessMeter(), lambda: None))
    sampler.close()
    assert "use of the machine: this document: SettingsError" in capfd.readouterr().err


def test_an_error_at_the_start_of_a_step_does_not_reach_the_step(
    machine: Machine, sampler: Sampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> Reading:
        raise RuntimeError("bug")

    monkeypatch.setattr(machine, "glance", fail)
    with sampler.phase(PhaseKind.STEP, "train"):
        pass
    document = sampler.document()
    assert document.missing == ("start of a step: RuntimeError: bug",)
    assert document.phases[0].kind is PhaseKind.STEP


def usage(steps: int, gpus: int, name: Callable[[int], str]) -> JobUsage:
    """Return the largest document of a job: every value has all its digits."""
    percents, peaks = (99.9,) * gpus, (143771.1,) * gpus
    names = [name(number) for number in range(steps)]
    kinds = (PhaseKind.INPUTS, PhaseKind.STEP, PhaseKind.OUTPUTS)
    return JobUsage(
        attempt=1,
        started_at=1764496236.123,
        period_s=512.0,
        series=tuple(
            Series(name=f"series{number}", low=(0.0001235,) * 300, high=(143800.0,) * 300)
            for number in range(6 + 2 * gpus)
        ),
        steps={
            step: StepUsage(
                cpu_core_s=number,
                memory_peak_mib=143771.1,
                gpu_percent=percents,
                gpu_memory_peak_mib=peaks,
            )
            for number, step in enumerate(names)
        },
        phases=tuple(
            Phase(kind=kind, step=step, started_at=number, ended_at=number * 2)
            for number, step in enumerate(names)
            for kind in kinds
        ),
    )


@pytest.mark.parametrize(("steps", "gpus"), [(1, 0), (50, 8), (5000, 0), (3, 64), (3000, 16)])
def test_a_document_has_at_most_200_kib(steps: int, gpus: int) -> None:
    document, data = within_limit(usage(steps, gpus, "step_with_a_long_name_{}".format))
    assert len(data) <= MAX_BYTES
    assert read_document(JobUsage, data, KEY) == document
    assert len({len(values) for one in document.series for values in (one.low, one.high)}) == 1


def test_a_document_that_is_too_long_keeps_the_largest_steps_and_longest_phases() -> None:
    document, _ = within_limit(usage(5000, 0, str))
    assert list(document.steps)[-1] == "4999"
    assert document.phases[-1].step == "4999"
    assert [note.partition(":")[0] for note in document.missing] == ["steps", "phases"]


def test_a_short_document_is_complete() -> None:
    short = usage(3, 1, str)
    assert within_limit(short)[0] == short


def test_the_document_is_written_while_the_job_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowyml_aws.runtime.sampler._FIRST_WRITE_S", 0.02)
    store = DirectoryArtifactStore(tmp_path)
    sampler = Sampler(1, interval_s=0.01)
    sampler.start(store, KEY, MachineMeter(ProcessMeter(), lambda: None))
    with sampler.phase(PhaseKind.STEP, "train"):
        eventually(store.path(KEY).exists, "the document")
        document = read_document(JobUsage, store.get(KEY), KEY)
    sampler.close()
    assert document.phases[0].kind is PhaseKind.STEP
    assert document.machine_started_at is None or document.machine_started_at < document.started_at
