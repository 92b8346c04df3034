from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, cast

import pytest

from flowyml_aws.aws.sagemaker.jobs import (
    ATTEMPTS,
    active_status,
    bill_of,
    final_status,
    has_ended,
    launches_without_result,
    status_after,
    times_of,
    times_of_summary,
)
from flowyml_aws.core.errors import AwsRefusedError
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.runtime.exit_codes import STORE_OUTAGE
from flowyml_aws.submission.backend import JobState, JobStatus
from flowyml_aws.submission.losses import EndedAttempt
from flowyml_aws.submission.times import JobTimes


def active(secondary: str, status: str = "InProgress", is_on_spot: bool = False) -> JobStatus:
    summary = {"TrainingJobName": "t", "TrainingJobStatus": status, "SecondaryStatus": secondary}
    assert not has_ended(cast(Any, summary))
    return active_status(cast(Any, summary), 1, is_on_spot)


def ended(status: str, secondary: str, reason: str = "", attempt: int = 1) -> JobStatus:
    detail = {
        "TrainingJobStatus": status,
        "SecondaryStatus": secondary,
        "FailureReason": reason,
        "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 90},
    }
    assert has_ended(cast(Any, detail))
    return final_status(cast(Any, detail), attempt)


@pytest.mark.parametrize(
    ("secondary", "state"),
    [
        ("Pending", JobState.QUEUED),
        ("Starting", JobState.STARTING),
        ("LaunchingMLInstances", JobState.QUEUED),
        ("PreparingTrainingStack", JobState.STARTING),
        ("Downloading", JobState.STARTING),
        ("DownloadingTrainingImage", JobState.STARTING),
        ("Training", JobState.RUNNING),
        ("Uploading", JobState.RUNNING),
        ("Restarting", JobState.STARTING),
        ("MaxRuntimeExceeded", JobState.RUNNING),  # not yet reported as stopped
    ],
)
def test_the_state_of_an_active_job_is_its_secondary_status(
    secondary: str, state: JobState
) -> None:
    assert active(secondary).state is state


def test_a_spot_interruption_is_not_a_failure() -> None:
    status = active("Interrupted")
    assert status.state is JobState.QUEUED
    assert status.reason is not None and "spot instance was interrupted" in status.reason


@pytest.mark.parametrize(
    "secondary", ["Starting", "Pending", "LaunchingMLInstances", "Interrupted", "Restarting"]
)
def test_a_job_on_spot_lacks_capacity_until_it_has_an_instance_also_after_an_interruption(
    secondary: str,
) -> None:
    assert active(secondary, is_on_spot=True).lacks_capacity
    assert not active(secondary).lacks_capacity  # on demand, SageMaker reports a CapacityError


@pytest.mark.parametrize("secondary", ["Downloading", "Training", "Uploading", "Stopping"])
def test_a_job_on_an_instance_does_not_lack_capacity(secondary: str) -> None:
    assert not active(secondary, is_on_spot=True).lacks_capacity


def test_a_job_that_is_being_stopped_has_not_ended() -> None:
    assert active("Stopping", "Stopping").state is JobState.RUNNING


@pytest.mark.parametrize(
    ("status", "secondary"), [("InProgress", "Dreaming"), ("Paused", "Training")]
)
def test_an_unknown_state_is_an_error(status: str, secondary: str) -> None:
    with pytest.raises(AwsRefusedError, match="does not support this state"):
        active(secondary, status)


def test_a_failure_is_reported_with_its_reason() -> None:
    reason = "AlgorithmError: step 'fit': ValueError: no"
    assert ended("Failed", "Failed", reason) == JobStatus(JobState.FAILED, 1, reason)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("AlgorithmError: , exit code: 3", "the process exited with code 3"),
        (
            "AlgorithmError: , exit code: 137",
            "the process exited with code 137: possibly out of memory",
        ),
        ("", "SageMaker gives no reason"),
    ],
)
def test_a_failure_without_a_message_is_reported_with_its_exit_code(
    reason: str, expected: str
) -> None:
    assert ended("Failed", "Failed", reason).reason == expected


def test_a_job_that_exceeds_its_time_limit_is_failed_not_cancelled() -> None:
    status = ended("Stopped", "MaxRuntimeExceeded")
    assert status.state is JobState.FAILED
    assert status.reason == "it exceeded its maximum runtime of 60 s"
    assert status.cause is Cause.TIME_LIMIT


def test_a_job_that_waits_too_long_for_spot_capacity_is_reported_with_the_limit() -> None:
    reason = ended("Stopped", "MaxWaitTimeExceeded").reason
    assert reason is not None and "its limit of 90 s for waiting for spot capacity" in reason


def test_a_stopped_job_is_reported_as_stopped() -> None:
    status = ended("Stopped", "Stopped")
    assert (status.reason, status.cause) == ("it was stopped", Cause.CANCELLED)


@pytest.mark.parametrize(
    "reason",
    [
        "InternalServerError: We encountered an internal error. Please try again.",
        "CapacityError: Unable to provision requested ML compute capacity.",
        "AlgorithmError: , exit code: 143",
        "AlgorithmError: the store does not answer, exit code: 144",
    ],
)
def test_a_failure_of_the_service_is_retried_up_to_five_attempts(reason: str) -> None:
    assert ended("Failed", "Failed", reason).state is JobState.LOST
    last = ended("Failed", "Failed", reason, attempt=5)
    assert last.state is JobState.FAILED
    assert last.reason is not None and last.reason.endswith("(the last of 5 attempts)")


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("AlgorithmError: , exit code: 137", Cause.OUT_OF_MEMORY),
        ("AlgorithmError: , exit code: 18", Cause.OUT_OF_MEMORY),
        ("AlgorithmError: , exit code: 19", Cause.GPU_OUT_OF_MEMORY),
        ("AlgorithmError: , exit code: 20", Cause.DISK_FULL),
        ("AlgorithmError: an asset is missing, exit code: 11", Cause.SETUP),
        ("AlgorithmError: step 'train': exit code: 18 of a tool, exit code: 10", None),
        ("ClientError: the image does not exist", None),
    ],
)
def test_the_exit_code_says_whether_a_larger_machine_helps(
    reason: str, cause: Cause | None
) -> None:
    assert ended("Failed", "Failed", reason).cause is cause


LOST = "CapacityError: Unable to provision requested ML compute capacity."
GAVE_UP = f"AlgorithmError: the store does not answer, exit code: {STORE_OUTAGE}"


def attempts(*reasons: str, moved: int = 0) -> JobStatus:
    """Return the status of a job whose attempts on its machine failed for these reasons."""
    first = ATTEMPTS * moved + 1
    ends = [ended("Failed", "Failed", reason, n) for n, reason in enumerate(reasons, first)]
    return status_after(ends)


def test_lost_hosts_are_counted_for_each_machine_of_a_job() -> None:
    assert [attempts(*[LOST] * n).losses for n in (1, 4, 5)] == [1, 4, 5]
    assert attempts(LOST, moved=1).state is JobState.LOST
    assert attempts(*[LOST] * 5, moved=1).cause is Cause.CAPACITY


def test_an_attempt_that_gave_up_on_its_store_has_lost_no_host() -> None:
    assert attempts(GAVE_UP, GAVE_UP).state is JobState.LOST
    assert attempts(GAVE_UP, GAVE_UP).losses == 0
    assert attempts(LOST, GAVE_UP, LOST).losses == 2
    assert attempts(*[GAVE_UP] * 5).state is JobState.FAILED
    assert attempts(*[GAVE_UP] * 5).cause is Cause.STORE_OUTAGE
    # It has lost hosts, too.
    assert attempts(*[LOST] * 4, GAVE_UP).cause is Cause.CAPACITY


def test_the_end_of_the_wait_for_spot_capacity_is_a_lack_of_capacity() -> None:
    assert ended("Stopped", "MaxWaitTimeExceeded").cause is Cause.CAPACITY


def test_a_bill_contains_the_selected_type_and_the_billed_seconds_on_spot_capacity() -> None:
    detail = {
        "BillableTimeInSeconds": 30,
        "TrainingTimeInSeconds": 100,
        "EnableManagedSpotTraining": True,
        "ResourceConfig": {"SelectedInstanceType": "ml.m6i.large"},
    }
    bill = bill_of(cast(Any, detail))
    assert bill is not None
    assert (bill.instance_type, bill.billed_s, bill.ran_s) == ("ml.m6i.large", 30, 100)
    both = bill.after(bill)
    assert (both.billed_s, both.ran_s, both.is_spot) == (60, 200, True)


def test_a_job_that_never_ran_has_no_bill() -> None:
    assert bill_of(cast(Any, {"ResourceConfig": {}})) is None


def launches(
    status: str, *transitions: tuple[str, int], reason: str = ""
) -> tuple[tuple[EndedAttempt, ...], EndedAttempt | None]:
    """Return the launches of a training job whose secondary statuses had these seconds."""
    now, listed = datetime(2026, 11, 22, tzinfo=timezone.utc), []
    for name, seconds in transitions:
        end = now + timedelta(seconds=seconds)
        listed.append({"Status": name, "StartTime": now, "EndTime": end})
        now = end
    detail = {
        "TrainingJobStatus": status,
        "FailureReason": reason,
        "ResourceConfig": {"SelectedInstanceType": "ml.m5.large"},
        "SecondaryStatusTransitions": listed,
    }
    return launches_without_result(cast(Any, detail), 3)


def test_each_launch_before_an_interruption_is_lost_for_the_time_on_its_instance() -> None:
    lost, last = launches(
        "Completed",
        *(("Starting", 50), ("Downloading", 20), ("Training", 600), ("Interrupted", 90)),
        *(("Restarting", 5), ("Starting", 50), ("Training", 300), ("Restarting", 5)),
        *(("Starting", 50), ("Downloading", 20), ("Training", 40), ("Completed", 0)),
    )
    assert lost == (EndedAttempt(3, 620, "ml.m5.large"), EndedAttempt(3, 300, "ml.m5.large"))
    assert last is None


def test_a_job_that_waits_after_an_interruption_has_lost_a_launch() -> None:
    lost, last = launches("InProgress", ("Training", 600), ("Interrupted", 90))
    assert (lost, last) == ((EndedAttempt(3, 600, "ml.m5.large"),), None)


def test_a_job_whose_host_was_lost_is_repeated_by_the_next_attempt() -> None:
    lost, last = launches("Failed", ("Training", 60), ("Failed", 0), reason="InternalServerError")
    assert (lost, last) == ((EndedAttempt(4, 60, "ml.m5.large"),), None)


def test_a_job_that_failed_is_lost_only_if_it_moves() -> None:
    reason = "AlgorithmError: , exit code: 18"
    lost, last = launches("Failed", ("Training", 60), ("Failed", 0), reason=reason)
    assert (lost, last) == ((), EndedAttempt(4, 60, "ml.m5.large"))


def at(second: int) -> datetime:
    return datetime.fromtimestamp(second, timezone.utc)


def launched(*statuses: str) -> dict[str, Any]:
    """Describe a training job whose statuses took ten seconds each."""
    transitions = [
        {"Status": status, "StartTime": at(10 * number), "EndTime": at(10 * number + 10)}
        for number, status in enumerate(statuses)
    ]
    return {
        "TrainingJobStatus": "Completed",
        "CreationTime": at(0),
        "TrainingEndTime": at(10 * len(statuses)),
        "SecondaryStatusTransitions": transitions,
    }


def test_a_job_has_the_times_of_its_statuses() -> None:
    job = launched("Pending", "Starting", "Downloading", "Training", "Uploading", "Completed")
    assert times_of(cast(Any, job)) == JobTimes(
        queued_at=0,
        launched_at=10,
        pull_started_at=20,
        pull_ended_at=30,
        started_at=30,
        ended_at=60,
    )


def test_the_times_are_those_of_the_last_launch() -> None:
    job = launched("Starting", "Downloading", "Training", "Interrupted", "Starting", "Training")
    times = times_of(cast(Any, job))
    assert (times.queued_at, times.launched_at, times.started_at) == (30, 40, 50)


def test_a_listing_has_the_times_of_creation_and_end() -> None:
    summary = {
        "TrainingJobStatus": "Completed",
        "CreationTime": at(5),
        "TrainingEndTime": at(50),
    }
    assert times_of_summary(cast(Any, summary)) == JobTimes(queued_at=5, ended_at=50)
