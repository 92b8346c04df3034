"""Runs with jobs on Batch and on SageMaker, on an emulated account where both really run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowyml_aws import Run
from flowyml_aws.submission.backend import JobState
from flowyml_aws.testing import Emulator
from tests.support.rigs import BackendRig, eventually, raised_emulator

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("sagemaker-runs")]

MIDDLE = {"second": "sagemaker", "*": "batch"}
FIRST = {"first": "sagemaker", "*": "batch"}


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    with raised_emulator() as aws:
        yield aws


def release(rig: BackendRig) -> None:
    Path(f"{rig.trace}.go").touch()


def submitted(aws: Emulator) -> tuple[int, int]:
    """Return the numbers of Batch jobs and training jobs submitted since `start`."""
    calls = Counter(call.operation for call in aws.calls)
    return calls["SubmitJob"], calls["CreateTrainingJob"]


def start(rig: BackendRig, aws: Emulator, backend: dict[str, str]) -> Run:
    aws.calls.clear()
    run = rig.pipeline("waiting").submit(backend=backend)
    eventually(lambda: "wait" in rig.ran(), "the first job waiting")
    return run


def test_a_job_is_submitted_once_its_parents_on_the_other_service_have_succeeded(
    aws: Emulator, rig: BackendRig
) -> None:
    run = start(rig, aws, MIDDLE)
    run.advance()
    assert submitted(aws) == (1, 0)
    assert [job.backend for job in run.plan.jobs] == ["batch", "sagemaker", "batch"]
    assert run.plan.backend == "batch+sagemaker"
    release(rig)
    result = run.wait()
    assert result["d"] == "it is 42"
    assert submitted(aws) == (2, 1)
    assert rig.ran() == ["begin", "wait", "double", "summarize"]
    # Only SageMaker bills each job.
    assert list(result.status.bills) == ["second"]


def test_any_client_can_resume_jobs_on_both_services(aws: Emulator, rig: BackendRig) -> None:
    run = start(rig, aws, FIRST)
    assert submitted(aws) == (0, 1)
    release(rig)
    first, second = Run.attach(run.id), Run.attach(run.id)
    first.advance()
    assert first.wait().success
    # It attached before most jobs were submitted, and never submitted one itself.
    assert second.wait().success
    assert submitted(aws) == (2, 1)
    assert rig.ran() == ["begin", "wait", "double", "summarize"]
    lines = [line.message for line in Run.attach(run.id).logs()]
    assert any("job first" in line for line in lines)
    assert any("job summarize" in line for line in lines)


def test_jobs_after_a_failed_job_on_the_other_service_are_never_submitted(
    aws: Emulator, rig: BackendRig
) -> None:
    run = start(rig, aws, FIRST)
    (name,) = aws.job_processes()
    aws.client("sagemaker").stop_training_job(TrainingJobName=name)
    result = run.wait()
    states = [view.state for view in result.status.jobs]
    assert states == [JobState.FAILED, JobState.BLOCKED, JobState.BLOCKED]
    assert submitted(aws) == (0, 1)


def test_cancel_ends_the_jobs_on_both_services_and_the_driver_of_a_detached_run(
    aws: Emulator, rig: BackendRig
) -> None:
    # The driver submits the job on Batch once the job on SageMaker has succeeded.
    run = rig.pipeline("waiting").submit(backend=FIRST, detach=True)
    eventually(lambda: "wait" in rig.ran(), "the first job waiting")
    aws.faults.withhold("flowyml-emulator-cpu")
    release(rig)
    eventually(lambda: is_submitted(aws, run, "second"), "the second job in its queue")
    Run.attach(run.id).cancel()
    assert run.wait().state == "cancelled"
    eventually(lambda: not aws.job_processes(), "the end of the driver")
    aws.faults.withhold("flowyml-emulator-cpu", None)
    assert rig.ran() == ["begin", "wait"]


def is_submitted(aws: Emulator, run: Run, job: str) -> bool:
    """Return whether a job of a run has been submitted to Batch."""
    return any(
        call.operation == "SubmitJob" and call.resource == f"{run.id}-{job}"
        for call in list(aws.calls)
    )


def test_cancel_ends_the_jobs_on_both_services(aws: Emulator, rig: BackendRig) -> None:
    run = start(rig, aws, FIRST)
    Run.attach(run.id).cancel()
    assert run.wait().state == "cancelled"
    eventually(lambda: not aws.job_processes(), "the end of every job")
    assert submitted(aws) == (0, 1)
