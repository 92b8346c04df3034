"""Listing and description of training jobs, and their conversion to job states."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.errors import error_code, refused
from flowyml_aws.core.errors import AwsRefusedError
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.runtime.exit_codes import BAD_INPUT, INTERRUPTED, MOVES, NODE_LOST, STORE_OUTAGE
from flowyml_aws.submission.backend import JobState, JobStatus
from flowyml_aws.submission.losses import EndedAttempt
from flowyml_aws.submission.record import Bill
from flowyml_aws.submission.times import JobTimes

if TYPE_CHECKING:
    from mypy_boto3_sagemaker import SageMakerClient
    from mypy_boto3_sagemaker.type_defs import (
        DescribeTrainingJobResponseTypeDef,
        SecondaryStatusTransitionTypeDef,
        TrainingJobSummaryTypeDef,
    )

__all__ = [
    "ATTEMPTS",
    "active_status",
    "bill_of",
    "describe_training",
    "final_status",
    "find_training",
    "has_ended",
    "launches_without_result",
    "list_training",
    "status_after",
    "times_of",
    "times_of_summary",
]

ATTEMPTS = 5
"""Maximum number of training jobs for one job of a plan on one machine."""

# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeTrainingJob.html
_ACTIVE_STATES: Mapping[str, JobState] = {
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
    # The job has two minutes to exit.
    "Stopping": JobState.RUNNING,
    # SecondaryStatus may be ahead of TrainingJobStatus, which decides.
    "Completed": JobState.RUNNING,
    "Failed": JobState.RUNNING,
    "Stopped": JobState.RUNNING,
    "MaxRuntimeExceeded": JobState.RUNNING,
    "MaxWaitTimeExceeded": JobState.RUNNING,
}
_REASONS = {
    "Interrupted": "the spot instance was interrupted; SageMaker restarts the job",
    "LaunchingMLInstances": "SageMaker is launching an instance",
    "Stopping": "the job is being stopped",
}
_END_STATES = ("Completed", "Failed", "Stopped", "Deleting")
# Failures of the service, not of the job: another attempt may succeed. SageMaker reports a stop as
# `Stopped`, so a runner that received SIGTERM was not stopped by a user: its host was shut down. A
# main node that has lost another node has lost a host, too.
_SERVICE_FAILURE = re.compile(
    "InternalServerError|CapacityError|"
    rf"AlgorithmError: .*exit code: ({INTERRUPTED}|{NODE_LOST})$",
    re.DOTALL,
)
_STORE_OUTAGE = re.compile(rf"AlgorithmError: .*exit code: {STORE_OUTAGE}$", re.DOTALL)


_RELAUNCHED = ("Interrupted", "Restarting")
_DOWNLOADS = ("Downloading", "DownloadingTrainingImage")
_ON_INSTANCE = ("Downloading", "DownloadingTrainingImage", "Training", "Uploading", "Stopping")
# The instance starts, or SageMaker waits for one: only the duration shows it.
_WAITING = ("Starting", "Pending", "LaunchingMLInstances", *_RELAUNCHED)
_KILLED = 137  # by the kernel: SageMaker ends a container with 143
_NOT_FOUND = "Requested resource not found."


def list_training(client: SageMakerClient, run_id: str) -> Iterator[TrainingJobSummaryTypeDef]:
    """Yield every training job of a run, with one call for each 100.

    A new job or status appears only after seconds.

    Raises:
        AwsRefusedError: AWS denied the call.
    """
    pages = client.get_paginator("list_training_jobs")
    try:
        for page in pages.paginate(NameContains=run_id, PaginationConfig={"PageSize": 100}):
            yield from page["TrainingJobSummaries"]
    except (ClientError, BotoCoreError) as error:
        raise refused(error, f"list the training jobs of run {run_id}") from error


def describe_training(client: SageMakerClient, name: str) -> DescribeTrainingJobResponseTypeDef:
    """Return SageMaker's description of a training job.

    Raises:
        AwsRefusedError: AWS denied the call, or the job does not exist.
    """
    try:
        return client.describe_training_job(TrainingJobName=name)
    except (ClientError, BotoCoreError) as error:
        raise refused(error, f"describe training job {name}") from error


def find_training(client: SageMakerClient, name: str) -> DescribeTrainingJobResponseTypeDef | None:
    """Return SageMaker's description of a training job, or None if it does not exist.

    Unlike ListTrainingJobs, the answer is always up to date.

    Raises:
        AwsRefusedError: AWS denied the call.
    """
    try:
        return client.describe_training_job(TrainingJobName=name)
    except ClientError as error:
        # The API reference names ResourceNotFound; SageMaker returns a ValidationException.
        message = error.response.get("Error", {}).get("Message", "")
        if error_code(error) == "ResourceNotFound" or message == _NOT_FOUND:
            return None
        raise refused(error, f"describe training job {name}") from error
    except BotoCoreError as error:
        raise refused(error, f"describe training job {name}") from error


def has_ended(job: TrainingJobSummaryTypeDef | DescribeTrainingJobResponseTypeDef) -> bool:
    """Return whether a training job has ended."""
    return job["TrainingJobStatus"] in _END_STATES


def active_status(
    summary: TrainingJobSummaryTypeDef, attempt: int, is_on_spot: bool = False
) -> JobStatus:
    """Return the status of a training job that has not ended.

    Args:
        summary: SageMaker's summary of the job.
        attempt: Number of the attempt.
        is_on_spot: Whether it waits for spot capacity, for which SageMaker reports no lack.

    Raises:
        AwsRefusedError: SageMaker returned an unknown state.
    """
    secondary = summary.get("SecondaryStatus", "Training")
    state = _ACTIVE_STATES.get(secondary)
    if state is None or summary["TrainingJobStatus"] not in ("InProgress", "Stopping"):
        raise AwsRefusedError(
            what=f"Unknown state of training job {summary['TrainingJobName']!r}: "
            f"{summary['TrainingJobStatus']!r}, {secondary!r}",
            why="this version of flowyml-aws does not support this state",
            fix="upgrade flowyml-aws; the job itself continues",
        )
    return JobStatus(
        state,
        attempt,
        _REASONS.get(secondary),
        lacks_capacity=is_on_spot and secondary in _WAITING,
    )


def final_status(detail: DescribeTrainingJobResponseTypeDef, attempt: int) -> JobStatus:
    """Return the status of a training job that has ended: LOST if it should be retried.

    It counts the host that this attempt has lost; see `status_after`.

    SageMaker reports `Stopped` both for time limits and for stopped jobs; only the secondary
    status distinguishes them. It does not report who stopped a job: the store records whether the
    run was cancelled.
    """
    state, secondary = detail["TrainingJobStatus"], detail["SecondaryStatus"]
    if state == "Completed":
        return JobStatus(JobState.SUCCEEDED, attempt)
    if state == "Failed":
        failure = detail.get("FailureReason") or "SageMaker gives no reason"
        reason = _readable(failure)
        has_lost_host = _SERVICE_FAILURE.match(failure) is not None
        if not has_lost_host and not _STORE_OUTAGE.match(failure):
            return JobStatus(JobState.FAILED, attempt, reason, _cause_of_failure(failure))
        if attempt % ATTEMPTS:
            reason = f"attempt {attempt} failed: {reason}"
            return JobStatus(JobState.LOST, attempt, reason, losses=int(has_lost_host))
        reason = f"{reason} (the last of {ATTEMPTS} attempts)"
        cause = Cause.CAPACITY if has_lost_host else Cause.STORE_OUTAGE
        return JobStatus(JobState.FAILED, attempt, reason, cause, int(has_lost_host))
    limits = detail["StoppingCondition"]
    reasons = {
        "MaxRuntimeExceeded": "it exceeded its maximum runtime of "
        f"{limits.get('MaxRuntimeInSeconds')} s",
        "MaxWaitTimeExceeded": "it exceeded its limit of "
        f"{limits.get('MaxWaitTimeInSeconds')} s for waiting for spot capacity and running",
    }
    causes = {
        "MaxRuntimeExceeded": Cause.TIME_LIMIT,
        "MaxWaitTimeExceeded": Cause.CAPACITY,
    }
    cause = causes.get(secondary, Cause.CANCELLED)
    return JobStatus(JobState.FAILED, attempt, reasons.get(secondary, "it was stopped"), cause)


def status_after(attempts: Sequence[JobStatus]) -> JobStatus:
    """Return the status of a job: that of its last attempt, with the lost hosts of all.

    Args:
        attempts: Statuses of its attempts on its machine, in order; at least one.
    """
    last = attempts[-1]
    losses = sum(status.losses for status in attempts)
    is_out_of_attempts = last.cause is Cause.STORE_OUTAGE
    cause = Cause.CAPACITY if is_out_of_attempts and losses else last.cause
    return replace(last, cause=cause, losses=losses)


def launches_without_result(
    detail: DescribeTrainingJobResponseTypeDef, attempt: int
) -> tuple[tuple[EndedAttempt, ...], EndedAttempt | None]:
    """Return the launches of a training job that were lost, and the last one of a failed job.

    SageMaker itself launches a job on managed spot capacity again. Otherwise, the next attempt
    repeats a job whose host was lost.

    Args:
        detail: SageMaker's description of the job.
        attempt: Number of the attempt.
    """
    *earlier, last = _time_of_launches(detail)
    instance_type = _instance_type_of(detail)
    lost = tuple(EndedAttempt(attempt, seconds, instance_type) for seconds in earlier)
    if detail["TrainingJobStatus"] not in ("Failed", "Stopped"):
        return lost, None
    ended = EndedAttempt(attempt + 1, last, instance_type)
    failure = detail.get("FailureReason", "")
    is_lost = any(reason.match(failure) for reason in (_SERVICE_FAILURE, _STORE_OUTAGE))
    return ((*lost, ended), None) if is_lost else (lost, ended)


def _time_of_launches(detail: DescribeTrainingJobResponseTypeDef) -> list[float]:
    """Return the seconds of each launch of a training job on an instance, the last one included.

    They begin with the download of the image or the data, as the time that is billed.
    """
    seconds = [0.0]
    is_over = False
    for transition in detail.get("SecondaryStatusTransitions", ()):
        status = transition["Status"]
        if status in _RELAUNCHED:
            is_over = True
            continue
        if is_over:
            seconds.append(0.0)
            is_over = False
        if status in _ON_INSTANCE and "EndTime" in transition:
            seconds[-1] += (transition["EndTime"] - transition["StartTime"]).total_seconds()
    if is_over:  # it waits for the next instance
        seconds.append(0.0)
    return seconds


def times_of_summary(summary: TrainingJobSummaryTypeDef) -> JobTimes:
    """Return the times in ListTrainingJobs, which does not report the start of the container."""
    ended = summary.get("TrainingEndTime") if has_ended(summary) else None
    return JobTimes(queued_at=_seconds(summary.get("CreationTime")), ended_at=_seconds(ended))


def times_of(detail: DescribeTrainingJobResponseTypeDef) -> JobTimes:
    """Return the times of the last launch of a training job."""
    queued = detail.get("CreationTime")
    launch: list[SecondaryStatusTransitionTypeDef] = []
    for transition in detail.get("SecondaryStatusTransitions", ()):
        if transition["Status"] in _RELAUNCHED:
            if launch:
                queued = transition["StartTime"]
            launch = []
        else:
            launch.append(transition)
    launched = [t["StartTime"] for t in launch if t["Status"] != "Pending"]
    downloads = [t for t in launch if t["Status"] in _DOWNLOADS]
    started = [t["StartTime"] for t in launch if t["Status"] == "Training"]
    return JobTimes(
        queued_at=_seconds(queued),
        launched_at=_seconds(launched[0] if launched else None),
        pull_started_at=_seconds(downloads[0]["StartTime"] if downloads else None),
        pull_ended_at=_seconds(downloads[-1].get("EndTime") if downloads else None),
        started_at=_seconds(started[0] if started else None),
        ended_at=_seconds(detail.get("TrainingEndTime") if has_ended(detail) else None),
    )


def _seconds(time: datetime | None) -> float | None:
    return None if time is None else time.timestamp()


def _instance_type_of(detail: DescribeTrainingJobResponseTypeDef) -> str | None:
    """Return the instance type of a training job; None before SageMaker has selected one."""
    resources = detail["ResourceConfig"]
    # SageMaker selects one of several preferred types.
    return resources.get("SelectedInstanceType") or resources.get("InstanceType")


def _nodes_of(detail: DescribeTrainingJobResponseTypeDef) -> int:
    resources = detail["ResourceConfig"]
    return resources.get("SelectedInstanceCount") or resources.get("InstanceCount") or 1


def _cause_of_failure(reason: str) -> Cause | None:
    """Return the cause of the failure of a job, if its exit code or SageMaker reports it."""
    match = re.search(r"exit code: (\d+)$", reason)
    code = int(match[1]) if match is not None else 0
    causes = {_KILLED: Cause.OUT_OF_MEMORY, BAD_INPUT: Cause.SETUP, **MOVES}
    return causes.get(code)


def _readable(reason: str) -> str:
    """Return the failure reason, rewritten if it has no message: `AlgorithmError: , exit …`."""
    match = re.fullmatch(r"AlgorithmError: ?,? ?exit code: (\d+)", reason)
    if match is None:
        return reason
    hint = ": possibly out of memory" if match[1] == "137" else ""
    return f"the process exited with code {match[1]}{hint}"


def bill_of(detail: DescribeTrainingJobResponseTypeDef) -> Bill | None:
    """Return the bill of an ended training job, or None if SageMaker does not report one (yet).

    SageMaker reports the time of one instance, and bills it for each (API reference,
    DescribeTrainingJob, BillableTimeInSeconds).
    """
    if "BillableTimeInSeconds" not in detail:
        return None
    nodes = _nodes_of(detail)
    return Bill(
        instance_type=_instance_type_of(detail),
        billed_s=detail["BillableTimeInSeconds"] * nodes,
        ran_s=detail.get("TrainingTimeInSeconds", detail["BillableTimeInSeconds"]) * nodes,
        is_spot=detail.get("EnableManagedSpotTraining", False),
    )
