"""What SageMaker tells about training jobs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.errors import refused
from flowyml_aws.core.errors import AwsRefusedError
from flowyml_aws.submission.backend import JobState, JobStatus
from flowyml_aws.submission.record import Bill

if TYPE_CHECKING:
    from mypy_boto3_sagemaker import SageMakerClient
    from mypy_boto3_sagemaker.type_defs import (
        DescribeTrainingJobResponseTypeDef,
        TrainingJobSummaryTypeDef,
    )

__all__ = [
    "ATTEMPTS",
    "bill_of",
    "describe_training",
    "has_ended",
    "list_training",
    "status_of_end",
    "status_of_going",
]

ATTEMPTS = 5
"""Training jobs that one job of a plan gets at most."""

# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeTrainingJob.html
_GOING: Mapping[str, JobState] = {
    "Pending": JobState.QUEUED,
    "Starting": JobState.STARTING,
    "LaunchingMLInstances": JobState.QUEUED,
    "PreparingTrainingStack": JobState.STARTING,
    "Downloading": JobState.STARTING,
    "DownloadingTrainingImage": JobState.STARTING,
    "Training": JobState.RUNNING,
    "Updating": JobState.RUNNING,
    "Uploading": JobState.RUNNING,
    "Interrupted": JobState.QUEUED,
    "Restarting": JobState.STARTING,
    # The job still has its two minutes to end.
    "Stopping": JobState.RUNNING,
    # The second status may be ahead of the first, which counts.
    "Completed": JobState.RUNNING,
    "Failed": JobState.RUNNING,
    "Stopped": JobState.RUNNING,
    "MaxRuntimeExceeded": JobState.RUNNING,
    "MaxWaitTimeExceeded": JobState.RUNNING,
}
_REASONS = {
    "Interrupted": "the spot instance was taken back; SageMaker starts it again",
    "LaunchingMLInstances": "SageMaker is looking for an instance",
    "Stopping": "it is being stopped",
}
_ENDINGS = ("Completed", "Failed", "Stopped", "Deleting")
# Ends that say nothing about the job itself: another attempt may well succeed.
_LOST = ("InternalServerError", "CapacityError")


def list_training(client: SageMakerClient, run_id: str) -> Iterator[TrainingJobSummaryTypeDef]:
    """Every training job of a run: a call for each hundred.

    Raises:
        AwsRefusedError: AWS denied the call.
    """
    pages = client.get_paginator("list_training_jobs")
    try:
        for page in pages.paginate(NameContains=run_id, PaginationConfig={"PageSize": 100}):
            yield from page["TrainingJobSummaries"]
    except (ClientError, BotoCoreError) as error:
        raise refused(error, "ask SageMaker how the training jobs are") from error


def describe_training(client: SageMakerClient, name: str) -> DescribeTrainingJobResponseTypeDef:
    """All that SageMaker knows of a training job.

    Raises:
        AwsRefusedError: AWS denied the call, or has no such job.
    """
    try:
        return client.describe_training_job(TrainingJobName=name)
    except (ClientError, BotoCoreError) as error:
        raise refused(error, f"ask SageMaker about training job {name}") from error


def has_ended(summary: TrainingJobSummaryTypeDef) -> bool:
    """Whether a training job goes on no more."""
    return summary["TrainingJobStatus"] in _ENDINGS


def status_of_going(summary: TrainingJobSummaryTypeDef, attempt: int) -> JobStatus:
    """The state of a training job that has not ended.

    Raises:
        AwsRefusedError: Nobody knows the state that SageMaker tells.
    """
    told = summary.get("SecondaryStatus", "Training")
    state = _GOING.get(told)
    if state is None or summary["TrainingJobStatus"] not in ("InProgress", "Stopping"):
        raise AwsRefusedError(
            what=f"SageMaker says training job {summary['TrainingJobName']!r} is "
            f"{summary['TrainingJobStatus']!r}, {told!r}",
            why="this version of flowyml-aws does not know that state",
            fix="upgrade flowyml-aws; the job itself goes on",
        )
    return JobStatus(state, attempt, _REASONS.get(told))


def status_of_end(told: DescribeTrainingJobResponseTypeDef, attempt: int) -> JobStatus:
    """How a training job ended: LOST where it deserves another attempt.

    A time limit is no cancel: SageMaker says `Stopped` of both, and only the second status tells.
    Who stopped a job is not told: whether the run was cancelled, its store says.
    """
    state, second = told["TrainingJobStatus"], told["SecondaryStatus"]
    if state == "Completed":
        return JobStatus(JobState.SUCCEEDED, attempt)
    if state == "Failed":
        reason = _readable(told.get("FailureReason") or "SageMaker gives no reason")
        if not reason.startswith(_LOST):
            return JobStatus(JobState.FAILED, attempt, reason)
        if attempt < ATTEMPTS:
            return JobStatus(JobState.LOST, attempt, f"attempt {attempt} ended: {reason}")
        return JobStatus(JobState.FAILED, attempt, f"{reason} (the last of {ATTEMPTS} attempts)")
    limits = told["StoppingCondition"]
    why = {
        "MaxRuntimeExceeded": f"it ran longer than {limits.get('MaxRuntimeInSeconds')} s, its "
        "limit",
        "MaxWaitTimeExceeded": "it waited for spot capacity and ran for longer than "
        f"{limits.get('MaxWaitTimeInSeconds')} s together, its limit",
    }
    return JobStatus(JobState.FAILED, attempt, why.get(second, "it was stopped"))


def _readable(reason: str) -> str:
    """SageMaker's reason, which for a process that left no word is `AlgorithmError: , exit …`."""
    found = re.fullmatch(r"AlgorithmError: ?,? ?exit code: (\d+)", reason)
    if found is None:
        return reason
    killed = ": perhaps out of memory" if found[1] == "137" else ""
    return f"its process ended with exit code {found[1]}{killed}"


def bill_of(told: DescribeTrainingJobResponseTypeDef) -> Bill | None:
    """What an ended training job is billed for; None where SageMaker does not tell (yet)."""
    if "BillableTimeInSeconds" not in told:
        return None
    resources = told["ResourceConfig"]
    # Of several types that came into question, the one that was found.
    found = resources.get("SelectedInstanceType") or resources.get("InstanceType")
    return Bill(
        instance_type=found,
        billed_s=told["BillableTimeInSeconds"],
        ran_s=told.get("TrainingTimeInSeconds", told["BillableTimeInSeconds"]),
        is_spot=told.get("EnableManagedSpotTraining", False),
    )
