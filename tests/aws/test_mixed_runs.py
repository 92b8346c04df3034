"""Runs with jobs on Batch and on SageMaker, on an account where both really run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowyml_aws import Run
from flowyml_aws.submission.backend import JobState
from flowyml_aws.testing import Emulator
from tests.support.places import Place, eventually

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("sagemaker-runs")]

MIDDLE = {"second": "sagemaker", "*": "batch"}
FIRST = {"first": "sagemaker", "*": "batch"}


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    with Emulator() as aws:
        yield aws


def go(place: Place) -> None:
    Path(f"{place.trace}.go").touch()


def submitted(aws: Emulator) -> tuple[int, int]:
    """Jobs on Batch and training jobs since the calls were cleared."""
    calls = Counter(call.operation for call in aws.calls)
    return calls["SubmitJob"], calls["CreateTrainingJob"]


def start(place: Place, aws: Emulator, where: dict[str, str]) -> Run:
    aws.calls.clear()
    run = place.pipeline("waiting").submit(where)
    eventually(lambda: "wait" in place.ran(), "the first job waiting")
    return run


def test_a_job_goes_to_its_place_once_those_elsewhere_are_done(aws: Emulator, place: Place) -> None:
    run = start(place, aws, MIDDLE)
    run.advance()
    assert submitted(aws) == (1, 0)
    assert [job.backend for job in run.plan.jobs] == ["batch", "sagemaker", "batch"]
    assert run.plan.backend == "batch+sagemaker"
    go(place)
    result = run.wait()
    assert result["d"] == "it is 42"
    assert submitted(aws) == (2, 1)
    assert place.ran() == ["begin", "wait", "double", "tell"]
    # SageMaker alone bills each job.
    assert list(result.status.bills) == ["second"]


def test_any_client_goes_on_with_both(aws: Emulator, place: Place) -> None:
    run = start(place, aws, FIRST)
    assert submitted(aws) == (0, 1)
    go(place)
    one, other = Run.attach(run.id), Run.attach(run.id)
    one.advance()
    assert one.wait().success
    # It has looked before most of them were submitted, and never submitted one.
    assert other.wait().success
    assert submitted(aws) == (2, 1)
    assert place.ran() == ["begin", "wait", "double", "tell"]
    lines = [line.message for line in Run.attach(run.id).logs()]
    assert any("job first" in line for line in lines)
    assert any("job tell" in line for line in lines)


def test_what_is_behind_a_failed_job_elsewhere_is_never_submitted(
    aws: Emulator, place: Place
) -> None:
    run = start(place, aws, FIRST)
    (name,) = aws.job_processes()
    aws.client("sagemaker").stop_training_job(TrainingJobName=name)
    result = run.wait()
    states = [view.state for view in result.status.jobs]
    assert states == [JobState.FAILED, JobState.BLOCKED, JobState.BLOCKED]
    assert submitted(aws) == (0, 1)


def test_cancel_ends_the_jobs_at_both(aws: Emulator, place: Place) -> None:
    run = start(place, aws, FIRST)
    Run.attach(run.id).cancel()
    assert run.wait().state == "cancelled"
    eventually(lambda: not aws.job_processes(), "the end of every job")
    assert submitted(aws) == (0, 1)
