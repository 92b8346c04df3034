"""GPUs that a step does not use, with readings and times of the tests. Not yet run on a GPU."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from flowyml_aws import GPUConfig, ResourceRequirements, step
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.runtime.exit_codes import STEP_FAILED
from flowyml_aws.runtime.idle_gpus import GpuWatch, idle_text
from flowyml_aws.runtime.meters.reading import GpuReading, ProcessReading, Reading
from flowyml_aws.runtime.result import GpuIdle, StepState, read_result
from flowyml_aws.runtime.sampler import Sampler
from tests.runtime.harness import REPOSITORY, RUN, WrittenRun, environment
from tests.runtime.test_sampler import Machine

MIN = 60.0
IDLE, BUSY, UNKNOWN = 0.0, 40.0, None


class Watched:
    """A watch with the facts that it reports. The step starts at 0."""

    def __init__(self, stop_s: float | None = None) -> None:
        self.reports: list[GpuIdle] = []
        self.stopped: list[GpuIdle] = []
        self.reasons: list[str] = []
        self.has_stopped = threading.Event()
        self.watch = GpuWatch(
            0.0,
            stop_s,
            report=lambda idle, now: self.reports.append(idle),
            stop=self._stop,
            cannot_watch=self.reasons.append,
        )

    def _stop(self, idle: GpuIdle) -> None:
        self.stopped.append(idle)
        self.has_stopped.set()

    def see(self, at: float, *percents: float | None) -> None:
        gpus = tuple(GpuReading(percent, 100.0) for percent in percents)
        self.watch.see(Reading(at, ProcessReading(0.0, 0.0, 0.0), gpus=gpus))

    def see_each_minute(self, first: int, last: int, *percents: float | None) -> None:
        for minute in range(first, last + 1):
            self.see(minute * MIN, *percents)


def test_a_gpu_that_is_used_is_not_reported() -> None:
    watched = Watched()
    watched.see_each_minute(1, 60, BUSY)
    watched.watch.close()
    assert watched.reports == []


def test_ten_minutes_without_use_are_reported_once_while_they_continue() -> None:
    watched = Watched()
    watched.see_each_minute(1, 9, IDLE)
    assert watched.reports == []
    watched.see_each_minute(10, 30, IDLE)
    assert watched.reports == [GpuIdle(since=0.0)]


def test_the_report_has_an_end_when_the_gpu_is_used_again() -> None:
    watched = Watched()
    watched.see_each_minute(1, 12, IDLE)
    watched.see(13 * MIN, BUSY)
    assert watched.reports[-1] == GpuIdle(since=0.0, until=13 * MIN)


def test_the_report_has_an_end_when_the_call_ends() -> None:
    watched = Watched()
    watched.see_each_minute(1, 12, IDLE)
    watched.watch.close()
    watched.see(99 * MIN, IDLE)
    assert watched.reports[-1] == GpuIdle(since=0.0, until=12 * MIN)


def test_the_longest_time_without_use_is_kept() -> None:
    watched = Watched()
    watched.see_each_minute(1, 30, IDLE)
    watched.see(31 * MIN, BUSY)
    watched.see_each_minute(32, 45, IDLE)
    assert watched.reports[-1] == GpuIdle(since=31 * MIN)  # the period that continues
    watched.see(46 * MIN, BUSY)
    assert watched.reports[-1] == GpuIdle(since=0.0, until=31 * MIN)


def test_one_gpu_of_several_that_is_used_is_enough() -> None:
    watched = Watched(stop_s=15 * MIN)
    watched.see_each_minute(1, 60, IDLE, BUSY)
    assert (watched.reports, watched.stopped) == ([], [])


@pytest.mark.parametrize("percents", [(), (UNKNOWN,), (IDLE, UNKNOWN)], ids=["none", "MIG", "one"])
def test_gpus_whose_use_is_unknown_are_never_idle_and_the_reason_is_reported_once(
    percents: Sequence[float | None],
) -> None:
    watched = Watched(stop_s=15 * MIN)
    watched.see_each_minute(1, 60, *percents)
    assert (watched.reports, watched.stopped, len(watched.reasons)) == ([], [], 1)


def test_a_step_is_stopped_once_after_its_time_without_use() -> None:
    watched = Watched(stop_s=30 * MIN)
    watched.see_each_minute(1, 29, IDLE)
    assert watched.stopped == []
    watched.see_each_minute(30, 40, IDLE)
    assert watched.has_stopped.wait(30)
    assert watched.stopped == [GpuIdle(since=0.0, until=30 * MIN)]


def test_without_a_time_no_step_is_stopped() -> None:
    watched = Watched()
    watched.see_each_minute(1, 600, IDLE)
    assert watched.stopped == []


@pytest.mark.parametrize(("minutes", "length"), [(12, "12 min"), (89, "89 min"), (150, "2.5 h")])
def test_the_text_has_the_length_and_the_step(minutes: int, length: str) -> None:
    idle = GpuIdle(since=0.0)
    assert idle_text("train", idle, minutes * MIN) == f"GPU idle for {length} in step train"


def test_the_sampler_shows_its_observer_only_measurements_of_all_quantities() -> None:
    machine, seen = Machine(), list[Reading]()
    sampler = Sampler(1, machine.time)
    sampler.begin(machine)
    with sampler.observed(seen.append):
        sampler.sample()  # before GPUs can be measured
        sampler.prepare()
        machine.passes(1)
        machine.gpu(IDLE, 100)
        sampler.sample()
    machine.passes(1)
    sampler.sample()
    assert [reading.at for reading in seen] == [1001.0]


GPU = ResourceRequirements(gpu=GPUConfig("nvidia-t4", count=1))


def test_a_step_on_a_gpu_has_the_time_of_the_step_or_else_that_of_the_run(tmp_path: Path) -> None:
    @step(outputs=["a"], resources=GPU, stop_idle_gpu="30m", execution_group="group")
    def own() -> int:
        return 1

    @step(outputs=["b"], resources=GPU, execution_group="group")
    def of_run() -> int:
        return 2

    run = WrittenRun(tmp_path, own, of_run, stop_idle_gpu_s=900.0)
    assert [s.stop_idle_gpu_s for s in run.spec("group").steps] == [1800.0, 900.0]


def test_a_step_without_gpus_is_not_watched(tmp_path: Path) -> None:
    @step(outputs=["a"], stop_idle_gpu=60)
    def plain() -> int:
        return 1

    (spec,) = WrittenRun(tmp_path, plain).spec().steps
    assert (spec.stop_idle_gpu_s, spec.has_gpus) == (None, False)


@pytest.mark.contract
def test_a_job_that_does_not_use_its_gpu_ends_with_a_result_that_says_so(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "tests.runtime.idle_gpu_program", str(tmp_path)]
    ended = subprocess.run(
        program, cwd=REPOSITORY, env=environment(), timeout=60, capture_output=True, text=True
    )
    assert ended.returncode == STEP_FAILED, ended.stderr
    result = read_result(DirectoryArtifactStore(tmp_path / "store"), RUN, "train")
    assert result is not None
    (report,) = result.steps
    assert (report.state, report.retries) == (StepState.FAILED, 0)  # it has `retry=3`
    assert report.failure is not None and report.failure.cause is Cause.GPU_IDLE
    assert report.failure.message == (
        "it did not use the GPUs of its job for 30 min (stop_idle_gpu)"
    )
    assert report.gpu_idle is not None
    assert "GPU idle for 10 min in step train" in ended.stderr
