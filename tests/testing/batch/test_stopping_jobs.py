from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws.testing import Capacity, Emulator
from tests.testing.programs import GRACEFUL, STUBBORN, WAIT_FOR_FILE

pytestmark = pytest.mark.contract

SLEEP = "import time; time.sleep(60)"
TWICE = {"attempts": 2}


@pytest.fixture
def accelerated(connect: Any) -> Iterator[Any]:
    """A client of an emulator in which 60 s on AWS last 0.6 s."""
    with Emulator(time_scale=0.01) as aws:
        yield connect(aws)


def test_a_terminated_job_gets_sigterm_and_fails_with_the_given_reason(batch: Any) -> None:
    job_id = batch.submit(GRACEFUL, retryStrategy=TWICE)
    batch.wait_for_line(job_id, "ready")
    batch.api.terminate_job(jobId=job_id, reason="not needed")
    job = batch.ended(job_id)
    assert (job["status"], job["statusReason"]) == ("FAILED", "not needed")
    assert batch.log(job_id) == ["ready", "leaving"]
    assert len(job["attempts"]) == 1
    assert job["isTerminated"]


def test_a_job_that_ignores_sigterm_is_killed_after_the_grace_period(accelerated: Any) -> None:
    job_id = accelerated.submit(STUBBORN)
    accelerated.wait_for_line(job_id, "ready")
    accelerated.api.terminate_job(jobId=job_id, reason="not needed")
    job = accelerated.ended(job_id)
    assert (job["statusReason"], job["container"]["exitCode"]) == ("not needed", 137)


def test_a_waiting_job_can_be_terminated(batch: Any) -> None:
    parent = batch.submit(SLEEP)
    child = batch.submit(after=[parent])
    batch.wait_for_status(child, "PENDING")
    batch.api.terminate_job(jobId=child, reason="not needed")
    job = batch.ended(child)
    assert (job["status"], job["statusReason"], job["attempts"]) == ("FAILED", "not needed", [])


def test_cancel_fails_a_waiting_job_and_its_dependents(connect: Any) -> None:
    with Emulator(capacity=Capacity(vcpus=1, memory_mib=512)) as aws:
        batch = connect(aws)
        batch.wait_for_status(batch.submit(SLEEP), "RUNNING")
        waiting = batch.submit()
        child = batch.submit(after=[waiting])
        batch.wait_for_status(waiting, "RUNNABLE")
        batch.api.cancel_job(jobId=waiting, reason="changed my mind")
        job = batch.ended(waiting)
        assert (job["status"], job["statusReason"]) == ("FAILED", "changed my mind")
        assert job["isCancelled"]
        assert batch.ended(child)["statusReason"] == "Dependent Job failed"


def test_cancel_does_not_affect_a_running_job(batch: Any, tmp_path: Path) -> None:
    job_id = batch.submit(WAIT_FOR_FILE.format(str(tmp_path / "go")))
    batch.wait_for_line(job_id, "ready")
    batch.api.cancel_job(jobId=job_id, reason="too late")
    (tmp_path / "go").touch()
    assert batch.ended(job_id)["status"] == "SUCCEEDED"


def test_stopping_an_ended_or_unknown_job_changes_nothing(batch: Any) -> None:
    job_id = batch.submit()
    before = batch.ended(job_id)
    for stop in (batch.api.cancel_job, batch.api.terminate_job):
        stop(jobId=job_id, reason="too late")
        stop(jobId="no-such-job", reason="too late")
    after = batch.job(job_id)
    for job in (before, after):
        job.pop("ResponseMetadata", None)
    assert after == before


def test_a_timeout_ends_the_attempt_and_is_not_retried(accelerated: Any) -> None:
    job_id = accelerated.submit(
        SLEEP, timeout={"attemptDurationSeconds": 60}, retryStrategy={"attempts": 3}
    )
    job = accelerated.ended(job_id)
    assert job["status"] == "FAILED"
    assert job["statusReason"] == "Job attempt duration exceeded timeout"
    assert [attempt["container"]["exitCode"] for attempt in job["attempts"]] == [143]
    assert job["timeout"] == {"attemptDurationSeconds": 60}


def test_the_definitions_timeout_applies_unless_the_submission_has_one(accelerated: Any) -> None:
    definition = accelerated.define("limited", timeout={"attemptDurationSeconds": 60})
    limited = accelerated.submit(SLEEP, jobDefinition=definition)
    longer = accelerated.submit(
        "import time; time.sleep(1)",
        jobDefinition=definition,
        timeout={"attemptDurationSeconds": 3600},
    )
    assert accelerated.ended(limited)["statusReason"] == "Job attempt duration exceeded timeout"
    assert accelerated.ended(longer)["status"] == "SUCCEEDED"


def test_an_attempt_on_a_lost_host_is_retried(batch: Any, aws: Emulator) -> None:
    rules = [
        {"onStatusReason": "Host EC2*", "action": "RETRY"},
        {"onReason": "*", "action": "EXIT"},
    ]
    code = (
        "import os, time; print('ready')\n"
        "if os.environ['AWS_BATCH_JOB_ATTEMPT'] == '1': time.sleep(60)"
    )
    job_id = batch.submit(code, retryStrategy={"attempts": 2, "evaluateOnExit": rules})
    batch.wait_for_line(job_id, "ready")
    aws.lose_host(job_id, is_exit_reported=False)
    job = batch.ended(job_id)
    assert job["status"] == "SUCCEEDED"
    lost = job["attempts"][0]
    assert lost["statusReason"].startswith("Host EC2 (instance i-")
    assert lost["statusReason"].endswith(") terminated.")
    assert "exitCode" not in lost["container"]


def test_a_container_that_exceeds_its_memory_is_killed(batch: Any, aws: Emulator) -> None:
    job_id = batch.submit(GRACEFUL)
    batch.wait_for_line(job_id, "ready")
    aws.faults.exceed_memory(job_id)
    container = batch.ended(job_id)["attempts"][0]["container"]
    assert container["exitCode"] == 137
    assert container["reason"] == "OutOfMemoryError: Container killed due to memory usage"
    with pytest.raises(ValueError, match="FAILED"):
        aws.faults.exceed_memory(job_id)


def test_a_job_gets_sigterm_before_its_host_is_lost(batch: Any, aws: Emulator) -> None:
    job_id = batch.submit(GRACEFUL)
    batch.wait_for_line(job_id, "ready")
    aws.lose_host(job_id, is_exit_reported=False)
    assert batch.ended(job_id)["status"] == "FAILED"
    assert batch.log(job_id) == ["ready", "leaving"]


def test_a_job_terminated_while_its_host_is_lost_is_not_retried(
    batch: Any, aws: Emulator, tmp_path: Path
) -> None:
    job_id = batch.submit(WAIT_FOR_FILE.format(str(tmp_path / "go")), retryStrategy=TWICE)
    batch.wait_for_line(job_id, "ready")
    aws.lose_host(job_id, is_exit_reported=False)
    batch.api.terminate_job(jobId=job_id, reason="not needed")
    (tmp_path / "go").touch()
    job = batch.ended(job_id)
    assert (job["status"], job["statusReason"]) == ("FAILED", "not needed")
    assert len(job["attempts"]) == 1


LEAVE_WITH_143 = GRACEFUL.replace("sys.exit(0)", "sys.exit(143)")


def test_ecs_may_report_the_end_of_the_container_before_its_host_has_gone(
    batch: Any, aws: Emulator
) -> None:
    job_id = batch.submit(LEAVE_WITH_143)
    batch.wait_for_line(job_id, "ready")
    aws.lose_host(job_id, is_exit_reported=True)
    (attempt,) = batch.ended(job_id)["attempts"]
    assert attempt["statusReason"] == "Essential container in task exited"
    assert attempt["container"]["exitCode"] == 143


def test_a_container_that_must_be_killed_ends_with_its_host(accelerated: Any) -> None:
    job_id = accelerated.submit(STUBBORN)
    accelerated.wait_for_line(job_id, "ready")
    accelerated.aws.lose_host(job_id, is_exit_reported=True)
    (attempt,) = accelerated.ended(job_id)["attempts"]
    assert attempt["statusReason"].startswith("Host EC2 (instance i-")
    assert "exitCode" not in attempt["container"]


def test_the_seed_decides_which_ends_are_reported(connect: Any) -> None:
    def reported(seed: int) -> list[bool]:
        with Emulator(seed=seed) as aws:
            batch = connect(aws)
            jobs = []
            for _ in range(6):  # each alone on its instance
                jobs.append(job_id := batch.submit(LEAVE_WITH_143))
                batch.wait_for_line(job_id, "ready")
                aws.lose_host(job_id)
            return ["exitCode" in batch.ended(job_id)["container"] for job_id in jobs]

    first = reported(1)
    assert set(first) == {True, False}
    assert reported(1) == first


def test_only_a_job_on_a_host_can_lose_it(batch: Any, aws: Emulator) -> None:
    job_id = batch.submit()
    batch.ended(job_id)
    with pytest.raises(ValueError, match="SUCCEEDED"):
        aws.lose_host(job_id)
    with pytest.raises(LookupError):
        aws.lose_host("no-such-job")
