"""Runs as training jobs that are executed by the emulator."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flowyml_aws import Run
from flowyml_aws.core.errors import AwsRefusedError, InvalidPipelineError, SettingsError
from flowyml_aws.services.connect import find_run
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.record import RunState
from flowyml_aws.submission.status import JobView, RunStatus
from flowyml_aws.testing import Emulator
from tests.support.boto import needs_old_boto, needs_preferences
from tests.support.rigs import BackendRig, eventually, raised_emulator
from tests.testing.conftest import TrainingClient

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("sagemaker-runs")]

DRIVERS = "flowyml-emulator-driver"
"""The queue of the jobs that drive runs."""


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    with raised_emulator() as aws:
        yield aws


def release_job(rig: BackendRig) -> None:
    """Create the file that the first job of `waiting` waits for."""
    Path(f"{rig.trace}.go").touch()


def trainings(aws: Emulator, run: Run) -> dict[str, str]:
    """Return the status of a run's training jobs, by name without the run id."""
    pages = aws.client("sagemaker").get_paginator("list_training_jobs")
    return {
        job["TrainingJobName"].removeprefix(f"{run.id}-"): job["TrainingJobStatus"]
        for page in pages.paginate(NameContains=run.id)
        for job in page["TrainingJobSummaries"]
    }


def described(aws: Emulator, run: Run, name: str) -> dict[str, object]:
    return dict(aws.client("sagemaker").describe_training_job(TrainingJobName=f"{run.id}-{name}"))


def first(run: Run) -> JobView:
    return run.status().jobs[0]


def types_of(rig: BackendRig, pipeline: str) -> list[str]:
    """Return every instance type in the plan of a pipeline's first job."""
    (job, *_) = rig.pipeline(pipeline).plan(backend="sagemaker").jobs
    return [offer.instance_type for offer in job.offers]


@pytest.fixture
def waiting(rig: BackendRig) -> Run:
    """A run of the pipeline `waiting` whose first job waits for a file."""
    run = rig.pipeline("waiting").submit(backend="sagemaker")
    eventually(lambda: "wait" in rig.ran(), "the first job waiting")
    return run


def test_jobs_beyond_the_quota_wait_with_a_reason_and_run_later(
    aws: Emulator, rig: BackendRig
) -> None:
    for name in types_of(rig, "wide:make"):
        aws.set_quota(name, 3)
    reasons: set[str] = set()

    def watch(status: RunStatus) -> None:
        reasons.update(view.reason for view in status.jobs if view.reason)

    try:
        run = rig.pipeline("wide:few").submit(backend="sagemaker")
        result = run.wait(watch)
    finally:
        for name in types_of(rig, "wide:make"):
            aws.set_quota(name, None)
    assert result["total"] == sum(range(12))
    assert any("waiting for the account's quota" in reason for reason in reasons)
    assert {view.attempt for view in result.status.jobs} == {1}


def test_running_jobs_are_only_listed_and_an_ended_job_is_described_once(
    aws: Emulator, rig: BackendRig, waiting: Run
) -> None:
    aws.calls.clear()
    for _ in range(5):
        waiting.status()
    calls = Counter(call.operation for call in aws.calls)
    assert (calls["ListTrainingJobs"], calls["DescribeTrainingJob"]) == (5, 0)
    release_job(rig)
    aws.calls.clear()
    assert waiting.wait().success
    described = Counter(c.resource for c in aws.calls if c.operation == "DescribeTrainingJob")
    # For the bill of each; that of the last one may be awaited.
    *earlier, last = (described.pop(f"{waiting.id}-{job}-1") for job in waiting.jobs)
    assert (earlier, last >= 1, described) == ([1, 1], True, Counter())


@pytest.mark.parametrize("is_exit_reported", [True, False])
def test_after_a_host_is_lost_the_next_attempt_resumes_after_the_completed_steps(
    aws: Emulator, rig: BackendRig, waiting: Run, is_exit_reported: bool
) -> None:
    (name,) = aws.job_processes()
    aws.lose_host(name, is_exit_reported=is_exit_reported)

    def second_attempt() -> bool:
        waiting.advance()
        return len(trainings(aws, waiting)) == 2

    eventually(second_attempt)
    eventually(lambda: rig.ran().count("wait") == 2, "the second attempt waiting")
    release_job(rig)
    result = waiting.wait()
    assert result["d"] == "it is 42"
    assert trainings(aws, waiting) == {
        "first-1": "Failed",
        "first-2": "Completed",
        "second-1": "Completed",
        "summarize-1": "Completed",
    }
    assert result.status.jobs[0].attempt == 2
    assert result.lost_attempts.count == 1
    assert result.lost_attempts.cost_usd > 0


def test_a_spot_interruption_is_neither_a_failure_nor_a_new_attempt(
    aws: Emulator, rig: BackendRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWYML_AWS_SAGEMAKER_SPOT", "true")
    run = rig.pipeline("waiting").submit(backend="sagemaker")
    assert {job.capacity for job in run.plan.jobs} == {"spot"}
    eventually(lambda: "wait" in rig.ran(), "the first job waiting")
    (name,) = aws.job_processes()
    aws.lose_host(name)
    eventually(lambda: rig.ran().count("wait") == 2, "the job waiting again")
    # On spot capacity, all values are stored: the previous step is not repeated.
    assert rig.ran() == ["begin", "wait", "wait"]
    assert run.status().lost_attempts.count == 1
    release_job(rig)
    result = run.wait()
    assert result["d"] == "it is 42"
    assert set(trainings(aws, run)) == {"first-1", "second-1", "summarize-1"}
    assert "saved by spot capacity" in result.summary()
    assert result.lost_attempts.count == 1
    assert result.lost_attempts.cost_usd > 0
    assert Run.attach(run.id).status().lost == result.status.lost
    lines = [line.message for line in run.logs("first")]
    assert lines.count("waiting") == 2  # the log of both starts


def test_a_job_without_available_instance_types_fails_after_five_attempts(
    aws: Emulator, rig: BackendRig
) -> None:
    types = types_of(rig, "killed")
    for name in types:
        aws.set_capacity(name, 0)
    try:
        result = rig.pipeline("killed").run(backend="sagemaker", progress=False)
    finally:
        for name in types:
            aws.set_capacity(name, None)
    (view,) = result.status.jobs
    assert (view.state, view.attempt) == (JobState.FAILED, 5)
    assert view.reason is not None and view.reason.startswith("CapacityError")
    assert "the last of 5 attempts" in view.reason
    assert rig.ran() == []


@needs_preferences
def test_the_next_type_is_used_if_the_best_is_not_available(aws: Emulator, rig: BackendRig) -> None:
    best, second, *_ = types_of(rig, "noisy")
    aws.set_capacity(best, 0)
    try:
        result = rig.pipeline("noisy").run(backend="sagemaker", progress=False)
    finally:
        aws.set_capacity(best, None)
    assert result.success
    assert {bill.instance_type for bill in result.status.bills.values()} == {second}
    assert f"on {second}" in result.summary()


@needs_old_boto
def test_an_older_boto3_runs_jobs_on_the_first_type_with_a_note(rig: BackendRig) -> None:
    run = rig.pipeline("noisy").submit(backend="sagemaker")
    assert any("upgrade to boto3>=1.43.90" in note for note in run.plan.notes)
    bills = run.wait().status.bills.values()
    assert {bill.instance_type for bill in bills} == {run.plan.jobs[0].instance_type}


def test_a_job_that_exceeds_its_maximum_runtime_is_failed_not_cancelled(
    rig: BackendRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWYML_AWS_SAGEMAKER_MAX_RUNTIME_S", "2")
    result = rig.pipeline("waiting").run(backend="sagemaker", progress=False)
    assert result.state == "failed"
    view = result.status.jobs[0]
    assert (view.state, view.reason) == (JobState.FAILED, "it exceeded its maximum runtime of 2 s")


def test_a_job_that_is_stopped_on_sagemaker_is_failed_with_the_reason(
    aws: Emulator, rig: BackendRig, waiting: Run
) -> None:
    (name,) = aws.job_processes()
    aws.client("sagemaker").stop_training_job(TrainingJobName=name)
    result = waiting.wait()
    assert (result.state, result.status.jobs[0].reason) == ("failed", "it was stopped")


def test_two_clients_at_once_submit_each_job_once(aws: Emulator, rig: BackendRig) -> None:
    run = rig.pipeline("waiting").submit(backend="sagemaker")
    others = [find_run(run.id) for _ in range(4)]
    with ThreadPoolExecutor(len(others)) as pool:
        list(pool.map(lambda driver: driver.advance(), others))
    release_job(rig)
    with ThreadPoolExecutor(len(others)) as pool:
        ends = list(pool.map(lambda driver: Run(driver).wait(), others))
    assert all(end.success for end in ends)
    assert set(trainings(aws, run)) == {"first-1", "second-1", "summarize-1"}
    assert rig.ran() == ["begin", "wait", "double", "summarize"]


def test_a_held_job_that_another_client_submits_has_the_same_state_for_all(
    aws: Emulator, rig: BackendRig
) -> None:
    types = types_of(rig, "waiting")
    for name in types:
        aws.set_quota(name, 1)
    other = TrainingClient(aws)
    resources = {"InstanceType": types[0], "InstanceCount": 1, "VolumeSizeInGB": 30}
    occupant = f"occupant-{uuid.uuid4().hex}"
    other.create("import time; time.sleep(600)", occupant, ResourceConfig=resources)
    try:
        run = rig.pipeline("waiting").submit(backend="sagemaker")
        assert "waiting for the account's quota" in str(first(run).reason)
    finally:
        for name in types:
            aws.set_quota(name, None)
        other.api.stop_training_job(TrainingJobName=occupant)
        other.ended(occupant)
    find_run(run.id).advance()
    eventually(lambda: "wait" in rig.ran(), "the first job waiting")
    aws.advance(5)  # listings are up to date
    assert first(run).state is JobState.RUNNING
    (name,) = aws.job_processes()
    aws.client("sagemaker").stop_training_job(TrainingJobName=name)
    assert run.wait().state == "failed"
    assert set(trainings(aws, run)) == {"first-1"}


def test_a_client_in_another_account_or_region_gets_an_error_with_the_jobs_location(
    aws: Emulator, rig: BackendRig, waiting: Run, monkeypatch: pytest.MonkeyPatch
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
    # A client that only watches does not need the role.
    aws.advance(5)  # listings are up to date
    assert first(Run.attach(waiting.id)).state is JobState.RUNNING
    waiting.cancel()


def test_an_instance_is_kept_alive_for_the_next_job_of_its_type(
    aws: Emulator, rig: BackendRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWYML_AWS_SAGEMAKER_KEEP_ALIVE_S", "600")
    release_job(rig)
    run = rig.pipeline("waiting").submit(backend="sagemaker")
    assert run.wait().success
    detail = described(aws, run, "first-1")
    assert detail["WarmPoolStatus"]["Status"] == "Reused"  # type: ignore[index]
    assert detail["WarmPoolStatus"]["ReusedByJob"] == f"{run.id}-second-1"  # type: ignore[index]


def test_missing_and_invalid_settings_are_reported_together(
    aws: Emulator, rig: BackendRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWYML_AWS_SAGEMAKER_KEEP_ALIVE_S", "99999")
    monkeypatch.setenv("FLOWYML_AWS_SAGEMAKER_SUBNETS", "subnet-1")
    aws.calls.clear()
    with pytest.raises(InvalidPipelineError) as caught:
        rig.pipeline("killed").submit(
            backend={"devour": "sagemaker", "devuor": "batch", "*": "batch"}
        )
    report = str(caught.value)
    assert "at most 21,600 s" in report
    assert "sagemaker_security_groups, not 0" in report
    assert "did you mean 'devour'?" in report
    monkeypatch.delenv("FLOWYML_AWS_SAGEMAKER_ROLE")
    monkeypatch.delenv("FLOWYML_AWS_IMAGE")
    monkeypatch.delenv("FLOWYML_AWS_REPOSITORY")
    with pytest.raises(InvalidPipelineError) as caught:
        rig.pipeline("killed").submit(backend="sagemaker")
    assert "Setting `sagemaker_role` is missing" in str(caught.value)
    assert "Setting `image` is missing" in str(caught.value)
    assert not {"CreateTrainingJob", "PutObject"} & {call.operation for call in aws.calls}


def test_jobs_have_handles_by_name(aws: Emulator, rig: BackendRig, waiting: Run) -> None:
    aws.advance(5)  # listings are up to date
    assert list(waiting.jobs) == ["first", "second", "summarize"]
    assert waiting.jobs["first"].status().state is JobState.RUNNING
    waiting.cancel()


@pytest.fixture
def stale(aws: Emulator) -> Iterator[None]:
    """A training job that runs, so that listings are late in real time."""
    resources = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
    sagemaker = aws.client("sagemaker")
    name = f"other-{uuid.uuid4().hex}"
    sagemaker.create_training_job(
        TrainingJobName=name,
        AlgorithmSpecification={
            "TrainingImage": aws.environment["FLOWYML_AWS_IMAGE"],
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["sleep"],
            "ContainerArguments": ["300"],
        },
        RoleArn=aws.environment["FLOWYML_AWS_SAGEMAKER_ROLE"],
        OutputDataConfig={"S3OutputPath": "s3://flowyml-emulator-123456789012-us-east-1/other"},
        ResourceConfig=resources,
        StoppingCondition={"MaxRuntimeInSeconds": 3600},
    )
    eventually(lambda: name in aws.job_processes(), "the other job running")
    yield
    sagemaker.stop_training_job(TrainingJobName=name)
    eventually(lambda: name not in aws.job_processes(), "the end of the other job")


@pytest.mark.usefixtures("stale")
def test_cancel_stops_a_job_that_is_not_listed_yet(aws: Emulator, rig: BackendRig) -> None:
    run = rig.pipeline("waiting").submit(backend="sagemaker")
    Run.attach(run.id).cancel()
    name = f"{run.id}-first-1"
    sagemaker = aws.client("sagemaker")
    stopped = ("Stopping", "Stopped")
    assert sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] in stopped


@pytest.mark.usefixtures("stale")
def test_a_job_whose_end_is_not_listed_yet_has_a_bill(aws: Emulator, rig: BackendRig) -> None:
    run = rig.pipeline("noisy", lines=1).submit(backend="sagemaker")
    name = f"{run.id}-whisper-1"

    def is_submitted() -> bool:
        aws.advance(5)
        run.advance()
        return name in aws.training_requests()

    eventually(is_submitted, "the submission of the second job")
    eventually(lambda: described(aws, run, "whisper-1")["TrainingJobStatus"] == "Completed")
    assert set(Run.attach(run.id).status().bills) == {"shout", "whisper"}


def test_a_blocked_queue_of_jobs_does_not_block_the_driver_of_a_detached_run(
    aws: Emulator, rig: BackendRig
) -> None:
    release_job(rig)
    aws.faults.withhold("flowyml-emulator-cpu")
    blocked = rig.pipeline("killed").submit(backend="batch")
    run = rig.pipeline("waiting").submit(backend="sagemaker", detach=True)
    eventually(lambda: run.status().state is RunState.SUCCEEDED, "the end of the run")
    assert blocked.status().state is RunState.RUNNING
    blocked.cancel()
    aws.faults.withhold("flowyml-emulator-cpu", None)


def test_a_detached_run_is_driven_on_aws_until_its_deadline(
    aws: Emulator, rig: BackendRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWYML_AWS_SAGEMAKER_MAX_RUNTIME_S", "3600")
    release_job(rig)
    run = rig.pipeline("waiting").submit(backend="sagemaker", detach=True)
    eventually(lambda: run.status().state is RunState.SUCCEEDED, "the end of the run")
    assert rig.ran() == ["begin", "wait", "double", "summarize"]
    names = [{"name": "JOB_NAME", "values": [f"{run.id}-*"]}]
    listed = aws.client("batch").list_jobs(jobQueue="flowyml-emulator-driver", filters=names)
    (driver,) = listed["jobSummaryList"]
    assert driver["jobName"].startswith(f"{run.id}-driver-")
    (described,) = aws.client("batch").describe_jobs(jobs=[driver["jobId"]])["jobs"]
    three_jobs_and_a_day_s = 3 * 3600 + 24 * 3600
    assert described["timeout"] == {"attemptDurationSeconds": three_jobs_and_a_day_s}
    assert any("ends after 1.1 days at the latest" in note for note in run.plan.notes)


def test_a_training_job_whose_creation_was_not_answered_exists_once(
    aws: Emulator, rig: BackendRig
) -> None:
    aws.faults.lose_answers("CreateTrainingJob", 2)
    run = rig.pipeline("waiting").submit(backend="sagemaker")
    aws.advance(5)  # listings are up to date
    assert list(trainings(aws, run)) == ["first-1"]
    release_job(rig)
    assert run.wait().success
    assert rig.ran() == ["begin", "wait", "double", "summarize"]


@pytest.fixture
def waiting_driver(aws: Emulator, rig: BackendRig) -> Iterator[Run]:
    """A detached run whose driver waits for a machine, submitted without an answer of Batch."""
    aws.faults.withhold(DRIVERS)
    aws.faults.lose_answers("SubmitJob")
    aws.calls.clear()
    yield rig.pipeline("waiting").submit(backend="sagemaker", detach=True)
    aws.faults.withhold(DRIVERS, None)


def drivers(aws: Emulator, run: Run) -> list[str]:
    """Return the states of the jobs that drive a run."""
    aws.advance(5)  # listings are up to date
    names = [{"name": "JOB_NAME", "values": [f"{run.id}-*"]}]
    listed = aws.client("batch").list_jobs(jobQueue=DRIVERS, filters=names)
    return [job["status"] for job in listed["jobSummaryList"]]


def test_cancel_ends_a_driver_that_has_not_started_and_there_is_one(
    aws: Emulator, waiting_driver: Run
) -> None:
    assert drivers(aws, waiting_driver) == ["RUNNABLE"]
    assert Run.attach(waiting_driver.id).cancel() == []
    assert drivers(aws, waiting_driver) == ["FAILED"]


def test_a_run_that_a_client_has_driven_to_its_end_leaves_no_driver(
    aws: Emulator, rig: BackendRig, waiting_driver: Run
) -> None:
    release_job(rig)
    assert Run.attach(waiting_driver.id).wait().success
    assert drivers(aws, waiting_driver) == ["FAILED"]


def test_a_detached_run_on_batch_alone_needs_no_driver(
    rig: BackendRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLOWYML_AWS_DRIVER_QUEUE")
    run = rig.pipeline("waiting").submit(backend="batch", detach=True)
    run.cancel()


@pytest.mark.parametrize(
    ("queue", "message"),
    [
        ("", "Setting `driver_queue` is missing"),
        ("cpus", "'cpus' does not exist"),
    ],
)
def test_a_detached_run_without_a_driver_queue_does_not_start(
    aws: Emulator, rig: BackendRig, monkeypatch: pytest.MonkeyPatch, queue: str, message: str
) -> None:
    monkeypatch.setenv("FLOWYML_AWS_DRIVER_QUEUE", queue)
    aws.calls.clear()
    with pytest.raises(InvalidPipelineError, match=message):
        rig.pipeline("waiting").submit(backend="sagemaker", detach=True)
    assert not {"CreateTrainingJob", "SubmitJob"} & {call.operation for call in aws.calls}


def test_a_job_on_another_service_has_no_training_job(rig: BackendRig) -> None:
    run = rig.pipeline("waiting").submit(backend="batch")
    with pytest.raises(SettingsError, match="'first' is not a training job"):
        run.jobs["first"].training_job()
    run.cancel()
