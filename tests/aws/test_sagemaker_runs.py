"""Runs as training jobs on an account where they really run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flowyml_aws import Run
from flowyml_aws.connect import find_run
from flowyml_aws.core.errors import AwsRefusedError, InvalidPipelineError, SettingsError
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.record import RunState
from flowyml_aws.submission.status import JobView, RunStatus
from flowyml_aws.testing import Emulator
from tests.support.places import Place, eventually

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("sagemaker-runs")]


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    with Emulator() as aws:
        yield aws


def go(place: Place) -> None:
    Path(f"{place.trace}.go").touch()


def trainings(aws: Emulator, run: Run) -> dict[str, str]:
    """The training jobs of a run and their status, without the run's id."""
    pages = aws.client("sagemaker").get_paginator("list_training_jobs")
    return {
        job["TrainingJobName"].removeprefix(f"{run.id}-"): job["TrainingJobStatus"]
        for page in pages.paginate(NameContains=run.id)
        for job in page["TrainingJobSummaries"]
    }


def described(aws: Emulator, run: Run, name: str) -> dict[str, object]:
    told = aws.client("sagemaker").describe_training_job(TrainingJobName=f"{run.id}-{name}")
    return dict(told)


def first(run: Run) -> JobView:
    return run.status().jobs[0]


def types_of(place: Place, pipeline: str) -> list[str]:
    """Every instance type that the first job of a pipeline may get."""
    (job, *_) = place.pipeline(pipeline).plan("sagemaker").jobs
    return [offer.instance_type for offer in job.offers]


@pytest.fixture
def waiting(place: Place) -> Run:
    """The pipeline `waiting`, while its first job waits for a file."""
    run = place.pipeline("waiting").submit("sagemaker")
    eventually(lambda: "wait" in place.ran(), "the first job waiting")
    return run


def test_jobs_beyond_the_quota_wait_say_so_and_run_when_there_is_room(
    aws: Emulator, place: Place
) -> None:
    for name in types_of(place, "wide:make"):
        aws.set_quota(name, 3)
    said: set[str] = set()

    def watch(status: RunStatus) -> None:
        said.update(view.reason for view in status.jobs if view.reason)

    try:
        run = place.pipeline("wide:few").submit("sagemaker")
        result = run.wait(watch)
    finally:
        for name in types_of(place, "wide:make"):
            aws.set_quota(name, None)
    assert result["total"] == sum(range(12))
    assert any("the account's quota leaves no room, it waits" in text for text in said)
    assert {view.attempt for view in result.status.jobs} == {1}


def test_states_are_listed_by_name_and_an_ended_job_is_described_once(
    aws: Emulator, place: Place, waiting: Run
) -> None:
    aws.calls.clear()
    for _ in range(5):
        waiting.status()
    calls = Counter(call.operation for call in aws.calls)
    assert (calls["ListTrainingJobs"], calls["DescribeTrainingJob"]) == (5, 0)
    go(place)
    aws.calls.clear()
    assert waiting.wait().success
    described = Counter(call.operation for call in aws.calls)["DescribeTrainingJob"]
    assert described == 3  # for the bill of each


def test_a_lost_host_is_another_attempt_that_goes_on_behind_what_was_done(
    aws: Emulator, place: Place, waiting: Run
) -> None:
    (name,) = aws.job_processes()
    aws.lose_host(name)

    def second_attempt() -> bool:
        waiting.advance()
        return len(trainings(aws, waiting)) == 2

    eventually(second_attempt)
    eventually(lambda: place.ran().count("wait") == 2, "the second attempt waiting")
    go(place)
    result = waiting.wait()
    assert result["d"] == "it is 42"
    assert trainings(aws, waiting) == {
        "first-1": "Failed",
        "first-2": "Completed",
        "second-1": "Completed",
        "tell-1": "Completed",
    }
    assert result.status.jobs[0].attempt == 2


def test_an_interruption_of_spot_capacity_is_no_failure_and_no_new_attempt(
    aws: Emulator, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWYML_AWS_SAGEMAKER_SPOT", "true")
    run = place.pipeline("waiting").submit("sagemaker")
    assert {job.capacity for job in run.plan.jobs} == {"spot"}
    eventually(lambda: "wait" in place.ran(), "the first job waiting")
    (name,) = aws.job_processes()
    aws.lose_host(name)
    eventually(lambda: place.ran().count("wait") == 2, "the job waiting again")
    # On spot capacity all values are stored: the step before is not repeated.
    assert place.ran() == ["begin", "wait", "wait"]
    go(place)
    result = run.wait()
    assert result["d"] == "it is 42"
    assert set(trainings(aws, run)) == {"first-1", "second-1", "tell-1"}
    assert "saved by spot capacity" in result.summary()
    lines = [line.message for line in run.logs("first")]
    assert lines.count("waiting") == 2  # the log of both starts


def test_where_no_type_can_be_had_the_job_is_tried_five_times_and_says_why(
    aws: Emulator, place: Place
) -> None:
    types = types_of(place, "killed")
    for name in types:
        aws.set_capacity(name, 0)
    try:
        result = place.pipeline("killed").run(backend="sagemaker", progress=False)
    finally:
        for name in types:
            aws.set_capacity(name, None)
    (view,) = result.status.jobs
    assert (view.state, view.attempt) == (JobState.FAILED, 5)
    assert view.reason is not None and view.reason.startswith("CapacityError")
    assert "the last of 5 attempts" in view.reason
    assert place.ran() == []


def test_the_next_type_is_taken_where_the_best_can_not_be_had(aws: Emulator, place: Place) -> None:
    best, second, *_ = types_of(place, "noisy")
    aws.set_capacity(best, 0)
    try:
        result = place.pipeline("noisy").run(backend="sagemaker", progress=False)
    finally:
        aws.set_capacity(best, None)
    assert result.success
    assert {bill.instance_type for bill in result.status.bills.values()} == {second}
    assert f"on {second}" in result.summary()


def test_a_job_that_runs_longer_than_its_limit_failed_and_was_not_cancelled(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWYML_AWS_SAGEMAKER_MAX_RUNTIME_S", "2")
    result = place.pipeline("waiting").run(backend="sagemaker", progress=False)
    assert result.state == "failed"
    view = result.status.jobs[0]
    assert (view.state, view.reason) == (JobState.FAILED, "it ran longer than 2 s, its limit")


def test_a_job_that_somebody_else_stops_failed_and_says_so(
    aws: Emulator, place: Place, waiting: Run
) -> None:
    (name,) = aws.job_processes()
    aws.client("sagemaker").stop_training_job(TrainingJobName=name)
    result = waiting.wait()
    assert (result.state, result.status.jobs[0].reason) == ("failed", "it was stopped")


def test_two_clients_at_once_submit_each_job_once(aws: Emulator, place: Place) -> None:
    run = place.pipeline("waiting").submit("sagemaker")
    others = [find_run(run.id) for _ in range(4)]
    with ThreadPoolExecutor(len(others)) as pool:
        list(pool.map(lambda driver: driver.advance(), others))
    go(place)
    with ThreadPoolExecutor(len(others)) as pool:
        ends = list(pool.map(lambda driver: Run(driver).wait(), others))
    assert all(end.success for end in ends)
    assert set(trainings(aws, run)) == {"first-1", "second-1", "tell-1"}
    assert place.ran() == ["begin", "wait", "double", "tell"]


def test_a_job_that_another_client_found_room_for_is_as_it_is_for_all(
    aws: Emulator, place: Place
) -> None:
    types = types_of(place, "waiting")
    for name in types:
        aws.set_quota(name, 0)
    try:
        run = place.pipeline("waiting").submit("sagemaker")
        assert "leaves no room" in str(first(run).reason)
    finally:
        for name in types:
            aws.set_quota(name, None)
    find_run(run.id).advance()
    eventually(lambda: "wait" in place.ran(), "the first job waiting")
    assert first(run).state is JobState.RUNNING
    (name,) = aws.job_processes()
    aws.client("sagemaker").stop_training_job(TrainingJobName=name)
    assert run.wait().state == "failed"
    assert set(trainings(aws, run)) == {"first-1"}


def test_a_client_that_looks_elsewhere_is_told_where_the_jobs_are(
    place: Place, waiting: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWYML_AWS_REGION", "eu-west-3")
    with pytest.raises(AwsRefusedError, match=r"not in eu-west-3.*\n.*submitted in us-east-1"):
        Run.attach(waiting.id).status()
    monkeypatch.delenv("FLOWYML_AWS_REGION")
    role = "arn:aws:iam::999999999999:role/other"
    monkeypatch.setenv("FLOWYML_AWS_SAGEMAKER_ROLE", role)
    with pytest.raises(AwsRefusedError, match="of account 999999999999"):
        Run.attach(waiting.id).advance()
    monkeypatch.delenv("FLOWYML_AWS_SAGEMAKER_ROLE")
    # Who only looks need not know the role.
    assert first(Run.attach(waiting.id)).state is JobState.RUNNING
    waiting.cancel()


def test_an_instance_is_kept_for_the_next_job_of_its_type(
    aws: Emulator, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWYML_AWS_SAGEMAKER_KEEP_ALIVE_S", "600")
    go(place)
    run = place.pipeline("waiting").submit("sagemaker")
    assert run.wait().success
    told = described(aws, run, "first-1")
    assert told["WarmPoolStatus"]["Status"] == "Reused"  # type: ignore[index]
    assert told["WarmPoolStatus"]["ReusedByJob"] == f"{run.id}-second-1"  # type: ignore[index]


def test_everything_that_is_missing_or_refused_is_in_one_report(
    aws: Emulator, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWYML_AWS_SAGEMAKER_KEEP_ALIVE_S", "99999")
    monkeypatch.setenv("FLOWYML_AWS_SAGEMAKER_SUBNETS", "subnet-1")
    aws.calls.clear()
    with pytest.raises(InvalidPipelineError) as caught:
        place.pipeline("killed").submit({"devour": "sagemaker", "devuor": "batch", "*": "batch"})
    told = str(caught.value)
    assert "at most 21,600 s" in told
    assert "sagemaker_security_groups, not 0" in told
    assert "did you mean 'devour'?" in told
    monkeypatch.delenv("FLOWYML_AWS_SAGEMAKER_ROLE")
    monkeypatch.delenv("FLOWYML_AWS_IMAGE")
    with pytest.raises(InvalidPipelineError) as caught:
        place.pipeline("killed").submit("sagemaker")
    assert "Setting `sagemaker_role` is missing" in str(caught.value)
    assert "Setting `image` is missing" in str(caught.value)
    assert not {"CreateTrainingJob", "PutObject"} & {call.operation for call in aws.calls}


def test_jobs_have_a_handle_by_name(place: Place, waiting: Run) -> None:
    assert list(waiting.jobs) == ["first", "second", "tell"]
    assert waiting.jobs["first"].status().state is JobState.RUNNING
    waiting.cancel()


def test_a_detached_run_is_driven_in_the_cloud(aws: Emulator, place: Place) -> None:
    go(place)
    run = place.pipeline("waiting").submit("sagemaker", detach=True)
    eventually(lambda: run.status().state is RunState.SUCCEEDED, "the end of the run")
    assert place.ran() == ["begin", "wait", "double", "tell"]
    names = [{"name": "JOB_NAME", "values": [f"{run.id}-*"]}]
    listed = aws.client("batch").list_jobs(jobQueue="cpu", filters=names)
    (driver,) = listed["jobSummaryList"]
    assert driver["jobName"].startswith(f"{run.id}-driver-")


def test_a_detached_run_on_batch_alone_needs_no_driver(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLOWYML_AWS_DRIVER_QUEUE")
    run = place.pipeline("waiting").submit("batch", detach=True)
    run.cancel()


@pytest.mark.parametrize(
    ("queue", "told"),
    [
        ("", "Setting `driver_queue` is missing"),
        ("cpus", "'cpus' does not exist"),
    ],
)
def test_where_nobody_can_drive_a_detached_run_nothing_starts(
    aws: Emulator, place: Place, monkeypatch: pytest.MonkeyPatch, queue: str, told: str
) -> None:
    monkeypatch.setenv("FLOWYML_AWS_DRIVER_QUEUE", queue)
    aws.calls.clear()
    with pytest.raises(InvalidPipelineError, match=told):
        place.pipeline("waiting").submit("sagemaker", detach=True)
    assert not {"CreateTrainingJob", "SubmitJob"} & {call.operation for call in aws.calls}


def test_a_job_elsewhere_is_no_training_job(place: Place) -> None:
    run = place.pipeline("waiting").submit("batch")
    with pytest.raises(SettingsError, match="'first' is no training job"):
        run.jobs["first"].training_job()
    run.cancel()
