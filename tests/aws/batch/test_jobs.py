"""Statuses of Batch jobs, from their descriptions."""

from __future__ import annotations

from typing import Any, cast

import pytest

from flowyml_aws.aws.batch.jobs import END_REASON, status_of
from flowyml_aws.aws.batch.retry import MAX_ATTEMPTS
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.runtime.exit_codes import STORE_OUTAGE
from flowyml_aws.submission.backend import JobStatus
from flowyml_aws.submission.losses import EndedAttempt
from flowyml_aws.submission.times import JobTimes

HOST_LOST = {"statusReason": "Host EC2 (instance i-1) terminated.", "container": {}}
RECLAIMED = {
    "statusReason": "Essential container in task exited",
    "container": {"exitCode": 143},
}
GAVE_UP = {
    "statusReason": "Essential container in task exited",
    "container": {"exitCode": STORE_OUTAGE},
}
FAILED = {"statusReason": "Essential container in task exited", "container": {"exitCode": 10}}


def described(status: str, *attempts: dict[str, Any], **more: Any) -> JobStatus:
    container = dict(attempts[-1]["container"]) if attempts else {}
    detail = {"jobName": "job", "status": status, "attempts": attempts, "container": container}
    return status_of(cast("Any", {**detail, **more}), first_attempt=1)


def test_lost_hosts_are_counted_whichever_end_ecs_reports_first() -> None:
    assert described("RUNNABLE", HOST_LOST, RECLAIMED).losses == 2
    assert described("RUNNING", HOST_LOST).losses == 1
    assert described("FAILED", FAILED).losses == 0


def test_an_attempt_that_gave_up_on_its_store_has_lost_no_host() -> None:
    assert described("RUNNABLE", GAVE_UP, GAVE_UP).losses == 0
    assert described("RUNNABLE", GAVE_UP, HOST_LOST).losses == 1


@pytest.mark.parametrize(
    ("container", "cause"),
    [
        ({"exitCode": 137, "reason": "OutOfMemoryError: Container killed"}, Cause.OUT_OF_MEMORY),
        ({"exitCode": 18}, Cause.OUT_OF_MEMORY),
        ({"exitCode": 19}, Cause.GPU_OUT_OF_MEMORY),
        ({"exitCode": 20}, Cause.DISK_FULL),
        ({"exitCode": 137}, None),  # killed by someone
        ({"exitCode": 10}, None),
        ({}, None),
    ],
)
def test_a_failed_job_says_whether_a_larger_machine_helps(
    container: dict[str, Any], cause: Cause | None
) -> None:
    attempt = {"statusReason": "Essential container in task exited", "container": container}
    assert described("FAILED", attempt).cause is cause


@pytest.mark.parametrize(
    ("status_reason", "container", "cause"),
    [
        ("Job attempt duration exceeded timeout", {"exitCode": 143}, Cause.TIME_LIMIT),
        ("Job attempt duration exceeded timeout", {"exitCode": 137}, Cause.TIME_LIMIT),
        ("cancelled by the user of flowyml-aws", {"exitCode": 143}, Cause.CANCELLED),
        ("terminated in the console", {"exitCode": 143}, Cause.CANCELLED),
        ("moved to another machine by flowyml-aws", {"exitCode": 143}, None),
        ("moved to another machine by flowyml-aws", {}, None),
        (
            "Task failed to start",
            {"reason": "CannotPullContainerError: Check if image exists and role 'main' has"},
            Cause.SETUP,
        ),
        ("Essential container in task exited", {"exitCode": 11}, Cause.SETUP),
        ("Essential container in task exited", {"exitCode": 139}, None),
    ],
)
def test_a_failed_job_has_the_cause_that_batch_reports(
    status_reason: str, container: dict[str, Any], cause: Cause | None
) -> None:
    attempt = {"statusReason": status_reason, "container": container}
    assert described("FAILED", attempt, statusReason=status_reason).cause is cause


def test_a_container_without_its_efa_says_what_to_correct() -> None:
    reason = (
        "CannotStartContainerError: Error response from daemon: error gathering device information "
        'while adding custom device "/dev/infiniband/uverbs1": no such file or directory'
    )
    attempt = {"statusReason": "Task failed to start", "container": {"reason": reason}}
    status = described("FAILED", attempt, statusReason="Task failed to start")
    assert status.reason is not None
    assert status.reason.startswith(f"{reason}; the instance has no such Elastic Fabric Adapter: ")
    assert "correct the tag flowyml-aws-efa of the compute environment" in status.reason
    assert status.cause is Cause.SETUP


def test_a_job_lacks_capacity_after_its_last_lost_host() -> None:
    assert described("FAILED", *[HOST_LOST] * MAX_ATTEMPTS).cause is Cause.CAPACITY
    assert described("FAILED", *[HOST_LOST] * (MAX_ATTEMPTS - 1), FAILED).cause is None
    # An outage of the store costs no other capacity, unless the job has lost hosts, too.
    assert described("FAILED", *[GAVE_UP] * MAX_ATTEMPTS).cause is Cause.STORE_OUTAGE
    assert described("FAILED", *[HOST_LOST] * 9, GAVE_UP).cause is Cause.CAPACITY
    # Someone has terminated it.
    assert described("FAILED", HOST_LOST).cause is None
    assert described("FAILED", RECLAIMED).cause is Cause.CANCELLED


def test_batch_says_whether_it_has_no_capacity() -> None:
    reason = "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - Service cannot fulfill the capacity"
    assert described("RUNNABLE", statusReason=reason).lacks_capacity
    assert not described("RUNNABLE").lacks_capacity
    assert not described("RUNNING", statusReason=reason).lacks_capacity


def test_the_attempts_of_a_moved_job_continue_those_of_its_first_machine() -> None:
    detail = cast("Any", {"jobName": "job", "status": "RUNNING", "attempts": [HOST_LOST]})
    assert status_of(detail, first_attempt=11).attempt == 12
    waiting = cast("Any", {"jobName": "job", "status": "RUNNABLE"})
    assert status_of(waiting, first_attempt=11).attempt == 0


def timed(attempt: dict[str, Any], seconds: float) -> dict[str, Any]:
    return {**attempt, "startedAt": 1_000, "stoppedAt": 1_000 + int(seconds * 1_000)}


def test_every_attempt_that_batch_repeats_is_lost_for_the_time_its_container_ran() -> None:
    for status in ("RUNNABLE", "RUNNING"):
        assert described(status, timed(RECLAIMED, 60), HOST_LOST).lost == (
            EndedAttempt(2, 60),
            EndedAttempt(3, 0),  # its container never started
        )
    assert described("SUCCEEDED", timed(FAILED, 60), timed({"container": {}}, 5)).lost == (
        EndedAttempt(2, 60),
    )


def test_the_last_attempt_of_a_failed_job_is_lost_with_its_host_or_if_the_job_moves() -> None:
    status = described("FAILED", HOST_LOST, timed(HOST_LOST, 60))
    assert (len(status.lost), status.last) == (2, None)
    status = described("FAILED", HOST_LOST, timed(FAILED, 60))
    assert (len(status.lost), status.last) == (1, EndedAttempt(3, 60))
    status = described("FAILED", timed(RECLAIMED, 60), statusReason=END_REASON)
    assert (status.lost, status.last) == ((), EndedAttempt(2, 60))


def test_a_job_has_the_times_that_batch_reports() -> None:
    attempt = {"startedAt": 60_000, "stoppedAt": 90_500, "container": {}}
    assert described("RUNNABLE", createdAt=1_000).times == JobTimes(queued_at=1)
    running = described("RUNNING", createdAt=1_000, startedAt=60_000)
    assert running.times == JobTimes(queued_at=1, started_at=60)
    ended = described("SUCCEEDED", attempt, createdAt=1_000)
    assert ended.times == JobTimes(queued_at=1, started_at=60, ended_at=90.5)


def test_the_wait_of_a_repeated_attempt_begins_with_the_end_of_the_one_before() -> None:
    attempt = {"startedAt": 60_000, "stoppedAt": 90_000, "container": {}}
    waiting = described("RUNNABLE", attempt, createdAt=1_000, startedAt=60_000)
    assert waiting.times == JobTimes(queued_at=90)
    second = {"startedAt": 120_000, "stoppedAt": 130_000, "container": {}}
    ended = described("SUCCEEDED", attempt, second, createdAt=1_000)
    assert ended.times == JobTimes(queued_at=90, started_at=120, ended_at=130)
