"""Failures of steps because memory is used up."""

from __future__ import annotations

import subprocess
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from flowyml_aws import step
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.runtime.failures import describe_job_failure, describe_step_failure
from flowyml_aws.runtime.out_of_memory import memory_advice, oom_kills, out_of_memory
from flowyml_aws.runtime.result import StepState
from tests.runtime.harness import WrittenRun


class OutOfMemoryError(RuntimeError):
    """Looks like the error of PyTorch before version 2.5, whose text has no fixed form."""


OutOfMemoryError.__module__ = "torch.cuda"


def group(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    "files",
    [
        {"memory.events": "low 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n"},
        {"memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"},
    ],
    ids=["version 2", "version 1"],
)
def test_the_kernels_count_of_killed_processes_is_read(
    tmp_path: Path, files: dict[str, str]
) -> None:
    assert oom_kills(group(tmp_path, files)) == 2


def test_a_kernel_without_the_count_gives_none(tmp_path: Path) -> None:
    assert oom_kills(tmp_path) is None
    assert oom_kills(group(tmp_path, {"memory.events": "low 0\n"})) is None


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (MemoryError(), Cause.OUT_OF_MEMORY),
        (OutOfMemoryError("Tried to allocate 20.00 MiB"), Cause.GPU_OUT_OF_MEMORY),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), Cause.GPU_OUT_OF_MEMORY),
        (RuntimeError("CUDA error: out of memory"), Cause.GPU_OUT_OF_MEMORY),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory while ..."), Cause.GPU_OUT_OF_MEMORY),
        (ValueError("out of memory"), None),
        (BrokenProcessPool("A process was terminated abruptly"), None),
        (subprocess.CalledProcessError(-9, "tool"), None),
    ],
    ids=repr,
)
def test_errors_of_libraries_are_recognized(error: Exception, cause: Cause | None) -> None:
    assert out_of_memory(error, None, None) is cause


def test_a_memory_error_behind_another_error_is_recognized() -> None:
    try:
        try:
            raise MemoryError
        except MemoryError as error:
            raise ValueError("can't parse") from error
    except ValueError as error:
        assert out_of_memory(error, None, None) is Cause.OUT_OF_MEMORY


@pytest.mark.parametrize(
    "error",
    [
        BrokenProcessPool("A process was terminated abruptly"),
        subprocess.CalledProcessError(2, "tool"),
        RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."),
    ],
    ids=repr,
)
def test_a_child_that_the_kernel_killed_meanwhile_is_the_cause(error: Exception) -> None:
    assert out_of_memory(error, 1, 2) is Cause.OUT_OF_MEMORY
    assert out_of_memory(error, 1, 1) is None


def test_the_advice_names_the_limit_of_the_job(tmp_path: Path) -> None:
    assert "the job, 2.0 GiB, is used up: request more `memory`" in memory_advice(
        Cause.OUT_OF_MEMORY, group(tmp_path, {"memory.max": f"{2 * 2**30}\n"})
    )


@pytest.mark.parametrize(
    "files",
    [{}, {"memory.max": "max\n"}, {"memory/memory.limit_in_bytes": "9223372036854771712\n"}],
)
def test_the_advice_names_no_limit_if_there_is_none(tmp_path: Path, files: dict[str, str]) -> None:
    assert "the memory of the job is used up" in memory_advice(
        Cause.OUT_OF_MEMORY, group(tmp_path, files)
    )


def test_the_failures_of_a_step_and_of_a_job_contain_cause_and_advice() -> None:
    for failure in (
        describe_step_failure(MemoryError(), ()),
        describe_job_failure(MemoryError(), ()),
    ):
        assert failure.cause is Cause.OUT_OF_MEMORY
        assert "fix: the memory of the job" in failure.text


def test_a_step_that_runs_out_of_memory_is_reported_so(tmp_path: Path) -> None:
    @step(outputs=["a"])
    def allocate():
        raise MemoryError("Unable to allocate 8.00 TiB")

    run = WrittenRun(tmp_path, allocate)
    runner = run.runner()
    assert not runner.run()
    report = runner.attempt.progress["allocate"]
    assert report.state is StepState.FAILED
    assert report.failure is not None and report.failure.cause is Cause.OUT_OF_MEMORY


def test_an_error_of_the_steps_own_is_reported_so(tmp_path: Path) -> None:
    @step(outputs=["a"])
    def fail():
        raise ValueError("no luck")

    runner = WrittenRun(tmp_path, fail).runner()
    assert not runner.run()
    failure = runner.attempt.progress["fail"].failure
    assert failure is not None and failure.cause is Cause.STEP
