"""Jobs that wait until someone approves them, on every backend."""

from __future__ import annotations

from typing import Any

import boto3
import pytest

from flowyml_aws import Run
from flowyml_aws.core.errors import ApprovalError
from flowyml_aws.planning.services import service_traits
from flowyml_aws.submission.approvals import ApprovalState
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.record import RunState
from flowyml_aws.submission.status import RunStatus
from tests.contracts.conftest import BACKENDS
from tests.contracts.test_branches import jobs_at_service
from tests.support.rigs import BackendRig, eventually

START = """
import sys
from flowyml_aws.cli.load import load_pipeline
run = load_pipeline("approved.py").submit(backend=sys.argv[1], context={"trace": sys.argv[2]})
print(run.id, flush=True)
run.wait()
"""

on_aws = pytest.mark.parametrize(
    "rig", [param for param in BACKENDS if "local" not in param.values], indirect=True
)


def waiting(rig: BackendRig) -> Run:
    """Return a run that only waits for its approval."""
    run = rig.pipeline("approved").submit(backend=rig.backend)
    assert run.wait_for_approval().status.waits_for_approval
    return run


def states(status: RunStatus) -> dict[str, JobState]:
    return {view.job.name: view.state for view in status.jobs}


def test_a_run_continues_if_another_client_approves_after_its_client_was_killed(
    rig: BackendRig,
) -> None:
    rig.write("approved")
    with rig.client("-c", START, rig.backend, str(rig.trace)) as client:
        run_id = client.stdout.readline().strip()
        eventually(lambda: Run.attach(run_id).status().waits_for_approval, "the approval")
        client.kill()
    run = Run.attach(run_id)
    eventually(lambda: jobs_at_service(rig, run) == {"train", "plot"}, "the jobs in a listing")
    _, output, _ = rig.command("approvals", run_id)
    assert "release: waiting for an answer, 7 d 0 h left: " in output
    assert "model = 21" in output
    code, output, _ = rig.command("approve", run_id, "--comment", "looks good")
    assert code == 0
    assert "approval release: approved by " in output
    assert output.splitlines()[0].endswith(": looks good")
    if service_traits(rig.backend).outlives_client:
        eventually(lambda: "deploy" in jobs_at_service(rig, run), "the job in a listing")
    else:
        assert "deploy can continue, but only while a client drives the run" in output
    result = run.wait()
    assert result["announce"] == "deployed 42"
    assert sorted(rig.ran()) == ["announce", "deploy", "plot", "train"]


def test_a_rejected_or_cancelled_run_asks_again_if_it_is_resumed(rig: BackendRig) -> None:
    run = waiting(rig)
    run.reject(comment="too slow")
    result = run.wait()
    assert result.state == "failed"
    assert states(result.status) == {
        "train": JobState.SUCCEEDED,
        "plot": JobState.SUCCEEDED,
        "deploy": JobState.BLOCKED,
        "announce": JobState.BLOCKED,
    }
    assert result.summary().count(": too slow") == 1
    assert Run.attach(run.id).status() == result.status
    resumed = run.resume()
    assert resumed.wait_for_approval().status.waits_for_approval
    Run.attach(resumed.id).cancel()
    assert resumed.wait().state == "cancelled"
    with pytest.raises(ApprovalError, match="the run has ended: cancelled"):
        resumed.approve()
    again = resumed.resume()
    again.approve("release")
    assert again.wait()["announce"] == "deployed 42"
    assert sorted(rig.ran()) == ["announce", "deploy", "plot", "train"]


def test_a_run_fails_if_nobody_answers_in_time(
    rig: BackendRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANSWER_WITHIN", "1s")
    run = rig.pipeline("approved").submit(backend=rig.backend)
    status = run.wait().status
    assert status.state is RunState.FAILED
    assert [view.state for view in status.approvals] == [ApprovalState.TIMED_OUT]
    eventually(lambda: jobs_at_service(rig, run) == {"train", "plot"}, "the jobs in a listing")
    with pytest.raises(ApprovalError, match="timed out"):
        Run.attach(run.id).approve("release")


@on_aws
def test_a_detached_run_waits_without_any_job(rig: BackendRig) -> None:
    run = rig.pipeline("approved").submit(backend=rig.backend, detach=True)
    eventually(lambda: Run.attach(run.id).status().waits_for_approval, "the approval")
    eventually(lambda: not active_jobs(run.id), "the end of all jobs")
    Run.attach(run.id).approve()
    eventually(lambda: run.status().state is RunState.SUCCEEDED, "the end of the run")
    assert sorted(rig.ran()) == ["announce", "deploy", "plot", "train"]


def active_jobs(run_id: str) -> list[str]:
    """Return the names of the jobs of a run that have not ended, with those of its drivers."""
    batch, sagemaker = boto3.client("batch"), boto3.client("sagemaker")
    names = []
    for queue in batch.describe_job_queues()["jobQueues"]:
        filters: Any = [{"name": "JOB_NAME", "values": [f"{run_id}-*"]}]
        listed = batch.list_jobs(jobQueue=queue["jobQueueName"], filters=filters)
        for job in listed["jobSummaryList"]:
            if job["status"] not in ("SUCCEEDED", "FAILED"):
                names.append(job["jobName"])
    for training in sagemaker.list_training_jobs(NameContains=run_id)["TrainingJobSummaries"]:
        if training["TrainingJobStatus"] in ("InProgress", "Stopping"):
            names.append(training["TrainingJobName"])
    return names
