"""Runs on an emulated account whose jobs really run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws import Run
from flowyml_aws.runtime.claim import JobClaim, claim_job
from flowyml_aws.runtime.exit_codes import SECOND_COPY
from flowyml_aws.services.connect import find_run
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.usage import read_usages
from flowyml_aws.testing import Emulator
from tests.support.rigs import BackendRig, eventually, raised_emulator

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("batch-runs")]


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    with raised_emulator() as aws:
        yield aws


@pytest.mark.parametrize(
    ("name", "jobs", "joins"),
    [
        ("wide:twenty_five", 25, 2),  # a job has at most 20 parents
        pytest.param("wide:make", 100, 5, marks=pytest.mark.thorough),
    ],
)
def test_a_job_can_depend_on_many_jobs(
    aws: Emulator,
    rig: BackendRig,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    jobs: int,
    joins: int,
) -> None:
    # Each poll reads the steps of every running job, and the jobs need the CPUs more.
    monkeypatch.setenv("FLOWYML_AWS_POLL_S", "1")
    pipeline = rig.pipeline(name)
    aws.calls.clear()
    result = pipeline.run(backend="batch", progress=False)
    assert result.success
    assert result["total"] == sum(range(jobs))
    calls = Counter(call.operation for call in aws.calls)
    assert calls["SubmitJob"] == jobs + 1 + joins
    assert {view.attempt for view in result.status.jobs} == {1}


@pytest.mark.parametrize("is_exit_reported", [True, False])
def test_a_lost_host_is_retried(aws: Emulator, rig: BackendRig, is_exit_reported: bool) -> None:
    run = rig.pipeline("waiting").submit(backend="batch")
    followed = run.logs("first", follow=True)
    lines = [next(followed).message]
    eventually(lambda: "wait" in rig.ran(), "the first job waiting")
    (job_id,) = aws.job_processes()
    aws.lose_host(job_id, is_exit_reported=is_exit_reported)
    eventually(lambda: rig.ran().count("wait") == 2, "the second attempt waiting")
    Path(f"{rig.trace}.go").touch()
    lines += [line.message for line in followed]
    result = run.wait()
    assert result["d"] == "it is 42"
    assert {view.job.name: view.attempt for view in result.status.jobs} == {
        "first": 2,
        "second": 1,
        "summarize": 1,
    }
    assert rig.ran() == ["begin", "wait", "begin", "wait", "double", "summarize"]
    # The log was followed from the first attempt into the second.
    assert any("attempt 1" in line for line in lines) and any("attempt 2" in line for line in lines)


def test_a_start_that_fails_by_chance_is_retried(aws: Emulator, rig: BackendRig) -> None:
    aws.faults.fail_starts(2, reason="DockerTimeoutError: Could not transition to started")
    Path(f"{rig.trace}.go").touch()
    result = rig.pipeline("waiting").run(backend="batch", progress=False)
    assert result["d"] == "it is 42"
    assert [view.attempt for view in result.status.jobs] == [3, 1, 1]
    assert rig.ran() == ["begin", "wait", "double", "summarize"]


def test_a_missing_image_fails_the_job_in_its_first_attempt(aws: Emulator, rig: BackendRig) -> None:
    aws.faults.fail_starts(
        reason="CannotPullContainerError: Error response from daemon: manifest for x not found"
    )
    result = rig.pipeline("waiting").run(backend="batch", progress=False)
    first = result.status.jobs[0]
    assert (first.state, first.attempt) == (JobState.FAILED, 1)
    assert first.reason is not None and first.reason.startswith("CannotPullContainerError: ")


def test_each_step_runs_once_although_its_job_exists_twice(aws: Emulator, rig: BackendRig) -> None:
    batch = aws.client("batch")
    aws.faults.withhold("flowyml-emulator-cpu")
    run = rig.pipeline("waiting").submit(backend="batch")
    first = next(id_ for name, id_ in submitted(aws, run).items() if name.endswith("-first"))
    (detail,) = batch.describe_jobs(jobs=[first])["jobs"]
    overrides = {k: detail["container"][k] for k in ("command", "environment")}
    second = batch.submit_job(
        jobName=detail["jobName"],
        jobQueue=detail["jobQueue"],
        jobDefinition=detail["jobDefinition"],
        containerOverrides=overrides,
        retryStrategy=detail["retryStrategy"],
        tags=detail["tags"],
    )["jobId"]
    # A client that knows of the second copy claims the job for the first one.
    claim = JobClaim(copy_id=first, claimed_at=0.0)
    store = find_run(run.id).store
    assert claim_job(store, run.id, "first", 1, claim) == first
    aws.faults.withhold("flowyml-emulator-cpu", None)

    def described(job_id: str) -> dict[str, Any]:
        return dict(batch.describe_jobs(jobs=[job_id])["jobs"][0])

    eventually(lambda: described(second)["status"] == "FAILED", "the end of the second copy")
    Path(f"{rig.trace}.go").touch()
    assert run.wait()["d"] == "it is 42"
    assert rig.ran() == ["begin", "wait", "double", "summarize"]
    ended = described(second)
    assert [a["container"].get("exitCode") for a in ended["attempts"]] == [SECOND_COPY]


def submitted(aws: Emulator, run: Run) -> dict[str, str]:
    """Return the ids of a run's Batch jobs by name."""
    aws.advance(5)  # listings are up to date
    names = [{"name": "JOB_NAME", "values": [f"{run.id}-*"]}]
    listed = aws.client("batch").list_jobs(jobQueue="flowyml-emulator-cpu", filters=names)
    return {job["jobName"]: job["jobId"] for job in listed["jobSummaryList"]}


def test_a_killed_process_is_reported_and_not_retried(aws: Emulator, rig: BackendRig) -> None:
    result = rig.pipeline("killed").run(backend="batch", progress=False)
    (view,) = result.status.jobs
    assert (view.state, view.attempt) == (JobState.FAILED, 1)
    assert view.reason == "Essential container in task exited; exit code 137"
    assert result.step_results["devour"].error == f"{view.reason}\n"
    assert rig.ran() == ["devour"]


def test_steps_run_if_batch_refuses_their_names(aws: Emulator, rig: BackendRig) -> None:
    result = rig.pipeline("strange").run(backend="batch", progress=False)
    assert result.success
    assert {result[name] == name for name in result.status.steps} == {True}
    assert [line.message for line in Run.attach(result.run_id).logs("a-step")]


def test_a_run_has_the_use_of_its_machines_and_the_times_of_its_jobs(
    aws: Emulator, rig: BackendRig
) -> None:
    result = rig.pipeline("measured").run(backend="batch", progress=False)
    assert result.success
    run = find_run(result.run_id)
    status = run.status()
    attempts = {view.job.name: view.attempt for view in status.jobs}
    usages = read_usages(run.store, result.run_id, attempts)
    assert usages["burn"].steps["burn"].cpu_core_s >= 0.6
    assert usages["burn"].steps["burn"].memory_peak_mib >= 300
    assert usages["rest"].steps["rest"].memory_peak_mib < 300
    times, usage = status.times["burn"], usages["burn"]
    assert times.queued_at is not None
    assert usage.pull_started_at is not None and usage.pull_ended_at is not None
    # The clock of the emulated account is ahead of the job's, so only its own times are in order.
    assert times.queued_at <= usage.pull_started_at <= usage.pull_ended_at
    assert times.started_at is None or usage.pull_ended_at <= times.started_at
