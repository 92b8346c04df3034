"""Jobs that are submitted or skipped after a decision, on every backend."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest

from flowyml_aws import Run
from flowyml_aws.client.result import PipelineResult
from flowyml_aws.core.errors import InvalidPipelineError
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.record import RunState
from flowyml_aws.submission.status import client_warning
from tests.contracts.conftest import BACKENDS
from tests.support.rigs import BackendRig, eventually, new_rig

START = """
import sys
from flowyml_aws.cli.load import load_pipeline
pipeline = load_pipeline("deciding.py")
run = pipeline.submit(backend=sys.argv[1], context={"trace": sys.argv[2], "accuracy": 0.2})
print(run.id, flush=True)
run.wait()
"""

locally, on_batch = (
    pytest.mark.parametrize(
        "rig", [each for each in BACKENDS if name in each.values], indirect=True
    )
    for name in ("local", "batch")
)


class Finished(NamedTuple):
    """A run whose first job chose to deploy, shared by all tests that only read it."""

    rig: BackendRig
    run: Run
    result: PipelineResult


@pytest.fixture(params=BACKENDS, scope="module")
def finished(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Finished]:
    rig = new_rig(request.param, tmp_path_factory.mktemp("finished"), request)
    with rig.entered():
        allow(rig)
        run = rig.pipeline("deciding").submit(backend=rig.backend)
        yield Finished(rig, run, run.wait())


def allow(rig: BackendRig, healthy: bool = True) -> None:
    """Let the decision end, and the check of the deployment succeed."""
    Path(f"{rig.trace}.go").touch()
    if healthy:
        Path(f"{rig.trace}.healthy").touch()


def jobs_at_service(rig: BackendRig, run: Run) -> set[str]:
    """Return the names of the jobs that the service has, in the plan or of arrays."""
    if rig.backend == "local":
        return {path.parent.name for path in Path(".flowyml").rglob(f"{run.id}/jobs/*/attempts")}
    if rig.backend == "sagemaker":
        trainings = boto3.client("sagemaker").list_training_jobs(NameContains=run.id)
        names = {each["TrainingJobName"] for each in trainings["TrainingJobSummaries"]}
        return {name.removeprefix(f"{run.id}-").rpartition("-")[0] for name in names}
    batch = boto3.client("batch")
    filters: Any = [{"name": "JOB_NAME", "values": [f"{run.id}-*"]}]
    found = set()
    for queue in batch.describe_job_queues()["jobQueues"]:
        listed = batch.list_jobs(jobQueue=queue["jobQueueName"], filters=filters)
        found |= {job["jobName"].removeprefix(f"{run.id}-") for job in listed["jobSummaryList"]}
    return found


def test_only_the_chosen_branch_is_executed(finished: Finished) -> None:
    assert finished.result.success
    assert finished.rig.ran() == ["evaluate", "deploy", "check"]
    assert finished.result["report"] == "deployed 0.7 and checked"


def test_no_job_exists_for_the_other_branch(finished: Finished) -> None:
    jobs = {"g", "deploy", "check", "report"}
    eventually(lambda: jobs_at_service(finished.rig, finished.run) == jobs, "the listed jobs")


def test_skipped_jobs_are_shown_as_skipped_without_a_cost(finished: Finished) -> None:
    skipped = [view for view in finished.result.status.jobs if view.is_skipped]
    assert [view.job.mapped for view in skipped] == [("retrain",)] * 3
    assert {view.state for view in skipped} == {JobState.SUCCEEDED}
    assert not {view.job.name for view in skipped} & finished.result.status.bills.keys()
    report = finished.result.status.steps["retrain[0]"]
    assert report.reason == "'decide' chose 'then', not 'else'"


def test_another_client_sees_the_same_branches(finished: Finished) -> None:
    again = Run.attach(finished.run.id)
    assert again.result().to_dict() == finished.result.to_dict()
    assert again.status() == finished.result.status


def test_another_client_submits_the_chosen_branch(rig: BackendRig) -> None:
    rig.write("deciding")
    with rig.client("-c", START, rig.backend, str(rig.trace)) as client:
        run_id = client.stdout.readline().strip()
        eventually(lambda: "evaluate" in rig.ran(), "the job that decides")
        client.kill()
    run = Run.attach(run_id)
    reasons = {view.job.name: view.reason for view in run.status().jobs}
    assert reasons["deploy"] == "decision 'decide' is not made yet"
    assert jobs_at_service(rig, run) <= {"g"}  # a listing may show it later
    allow(rig)

    def warning() -> str:
        return client_warning(Run.attach(run_id).status()) or ""

    eventually(lambda: "deploy and 3 more can continue" in warning(), "jobs without a client")
    assert f"flowyml-aws attach {run_id}" in warning()
    result = run.wait()
    assert result["report"] == "models [1, 4, 9]"
    assert sorted(rig.ran()) == ["evaluate", *["retrain"] * 3]
    assert not {"deploy", "check"} & jobs_at_service(rig, run)


def test_a_held_job_is_cancelled_and_resumed(rig: BackendRig) -> None:
    run = rig.pipeline("deciding").submit(backend=rig.backend)
    eventually(lambda: "evaluate" in rig.ran(), "the job that decides")
    Run.attach(run.id).cancel()
    assert run.wait().state == "cancelled"
    assert {view.state for view in run.status().jobs} == {JobState.CANCELLED}
    allow(rig)
    resumed = run.resume()
    result = resumed.wait()
    assert result["report"] == "deployed 0.7 and checked"
    jobs = {"g", "deploy", "check", "report"}
    eventually(lambda: jobs_at_service(rig, resumed) == jobs, "the listed jobs")


@locally  # the rule is the same for all backends
def test_a_run_that_failed_in_a_branch_is_resumed_there(rig: BackendRig) -> None:
    allow(rig, healthy=False)
    run = rig.pipeline("deciding").submit(backend=rig.backend)
    assert not run.wait().success
    assert rig.command("logs", run.id, "retrain")[2] == "no log of retrain: 3 jobs skipped\n"
    allow(rig)
    result = run.resume().wait()
    assert result["report"] == "deployed 0.7 and checked"
    assert rig.ran() == ["evaluate", "deploy", "check", "check"]
    assert [view.job.name for view in result.status.jobs] == ["check", "report"]
    assert result.status.steps["retrain[2]"].state.value == "skipped"


@on_batch
def test_a_detached_run_has_a_driver_that_submits_held_jobs(rig: BackendRig) -> None:
    run = rig.pipeline("deciding").submit(backend="batch", detach=True)
    (note,) = (note for note in run.plan.notes if "drives the run ($" in note)
    assert note.endswith("it submits or skips the jobs that wait for decisions")
    allow(rig, healthy=False)
    eventually(lambda: run.status().state is RunState.FAILED, "the end of the run")
    assert rig.ran() == ["evaluate", "deploy", "check"]
    jobs = {"g", "deploy", "check", "report"}
    eventually(lambda: jobs_at_service(rig, run) > jobs, "the listed jobs")
    (driver,) = jobs_at_service(rig, run) - jobs
    assert driver.startswith("driver-")
    allow(rig)
    resumed = run.resume(detach=True)
    eventually(lambda: resumed.status().state is RunState.SUCCEEDED, "the end of the second run")
    assert rig.ran() == ["evaluate", "deploy", "check", "check"]
    notes = [each for each in resumed.plan.notes if "driv" in each]
    assert [each.partition(" ")[0] for each in notes] == ["1", "a"]  # held job, small job
    assert notes[1] == note


@on_batch
def test_a_detached_run_without_a_driver_is_refused_if_it_has_held_jobs(
    rig: BackendRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLOWYML_AWS_DRIVER_QUEUE")
    with pytest.raises(InvalidPipelineError) as caught:
        rig.pipeline("deciding").submit(backend="batch", detach=True)
    (problem,) = caught.value.problems
    assert problem.what == "Setting `driver_queue` is missing"
    assert "wait for decisions" in problem.why
