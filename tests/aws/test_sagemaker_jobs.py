from __future__ import annotations

from typing import Any, cast

import pytest

from flowyml_aws.aws.sagemaker_jobs import bill_of, has_ended, status_of_end, status_of_going
from flowyml_aws.core.errors import AwsRefusedError
from flowyml_aws.submission.backend import JobState, JobStatus


def going(secondary: str, status: str = "InProgress") -> JobStatus:
    told = {"TrainingJobName": "t", "TrainingJobStatus": status, "SecondaryStatus": secondary}
    assert not has_ended(cast(Any, told))
    return status_of_going(cast(Any, told), 1)


def ended(status: str, secondary: str, reason: str = "", attempt: int = 1) -> JobStatus:
    told = {
        "TrainingJobStatus": status,
        "SecondaryStatus": secondary,
        "FailureReason": reason,
        "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 90},
    }
    assert has_ended(cast(Any, told))
    return status_of_end(cast(Any, told), attempt)


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
        ("MaxRuntimeExceeded", JobState.RUNNING),  # not yet told as stopped
    ],
)
def test_the_second_status_tells_how_far_a_job_is(secondary: str, state: JobState) -> None:
    assert going(secondary).state is state


def test_an_interruption_of_spot_capacity_is_no_failure() -> None:
    status = going("Interrupted")
    assert status.state is JobState.QUEUED
    assert status.reason is not None and "spot instance was taken back" in status.reason


def test_a_job_that_is_being_stopped_has_not_ended() -> None:
    assert going("Stopping", "Stopping").state is JobState.RUNNING


@pytest.mark.parametrize(
    ("status", "secondary"), [("InProgress", "Dreaming"), ("Paused", "Training")]
)
def test_a_state_that_nobody_knows_is_an_error(status: str, secondary: str) -> None:
    with pytest.raises(AwsRefusedError, match="does not know that state"):
        going(secondary, status)


def test_a_failure_has_its_reason() -> None:
    reason = "AlgorithmError: step 'fit': ValueError: no"
    assert ended("Failed", "Failed", reason) == JobStatus(JobState.FAILED, 1, reason)


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("AlgorithmError: , exit code: 3", "its process ended with exit code 3"),
        (
            "AlgorithmError: , exit code: 137",
            "its process ended with exit code 137: perhaps out of memory",
        ),
        ("", "SageMaker gives no reason"),
    ],
)
def test_a_process_that_left_no_word_is_told_by_its_exit_code(reason: str, told: str) -> None:
    assert ended("Failed", "Failed", reason).reason == told


def test_a_time_limit_is_no_cancel() -> None:
    status = ended("Stopped", "MaxRuntimeExceeded")
    assert status.state is JobState.FAILED
    assert status.reason == "it ran longer than 60 s, its limit"


def test_spot_capacity_that_never_came_is_told_with_the_limit() -> None:
    reason = ended("Stopped", "MaxWaitTimeExceeded").reason
    assert reason is not None and "90 s together" in reason


def test_a_job_that_somebody_stopped_says_so() -> None:
    assert ended("Stopped", "Stopped").reason == "it was stopped"


@pytest.mark.parametrize(
    "reason",
    [
        "InternalServerError: We encountered an internal error. Please try again.",
        "CapacityError: Unable to provision requested ML compute capacity.",
    ],
)
def test_what_is_the_services_fault_gets_another_attempt_five_at_most(reason: str) -> None:
    assert ended("Failed", "Failed", reason).state is JobState.LOST
    last = ended("Failed", "Failed", reason, attempt=5)
    assert last.state is JobState.FAILED
    assert last.reason is not None and last.reason.endswith("(the last of 5 attempts)")


def test_a_bill_names_the_type_that_was_found_and_what_spot_capacity_saved() -> None:
    told = {
        "BillableTimeInSeconds": 30,
        "TrainingTimeInSeconds": 100,
        "EnableManagedSpotTraining": True,
        "ResourceConfig": {"SelectedInstanceType": "ml.m6i.large"},
    }
    bill = bill_of(cast(Any, told))
    assert bill is not None
    assert (bill.instance_type, bill.billed_s, bill.ran_s) == ("ml.m6i.large", 30, 100)
    both = bill.after(bill)
    assert (both.billed_s, both.ran_s, both.is_spot) == (60, 200, True)


def test_a_job_that_never_ran_has_no_bill() -> None:
    assert bill_of(cast(Any, {"ResourceConfig": {}})) is None
