"""Job details from AWS Batch: states, failure reasons and log streams."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.batch.efa import lack_of_efa
from flowyml_aws.aws.batch.retry import MAX_ATTEMPTS
from flowyml_aws.aws.errors import refused
from flowyml_aws.core.errors import AwsRefusedError
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.runtime.exit_codes import (
    BAD_INPUT,
    INTERRUPTED,
    MOVES,
    NODE_LOST,
    SECOND_COPY,
    STORE_OUTAGE,
)
from flowyml_aws.submission.backend import JobState, JobStatus
from flowyml_aws.submission.losses import EndedAttempt
from flowyml_aws.submission.times import JobTimes

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient
    from mypy_boto3_batch.type_defs import (
        AttemptDetailTypeDef,
        ContainerDetailTypeDef,
        JobDetailTypeDef,
        JobSummaryTypeDef,
    )

__all__ = [
    "END_REASON",
    "JOBS_PER_CALL",
    "MOVE_REASON",
    "JobLog",
    "ListedJob",
    "describe_jobs",
    "has_ended",
    "is_queued",
    "is_second_copy",
    "list_jobs",
    "log_of",
    "status_of",
    "terminate_job",
    "unended_names",
    "waits_for_capacity",
]

# https://docs.aws.amazon.com/batch/latest/APIReference/API_DescribeJobs.html
JOBS_PER_CALL = 100
"""Jobs that one DescribeJobs call describes."""
_DEFAULT_LOG_GROUP = "/aws/batch/job"

END_REASON = "cancelled by the user of flowyml-aws"
"""Reason of every termination. The account's alerts ignore jobs that end with it (infra/)."""

MOVE_REASON = "moved to another machine by flowyml-aws"
"""Reason of the termination of a job that continues elsewhere. The alerts ignore it, too."""

_HOST_LOST = "Host EC2"
_NOT_PULLED = "CannotPullContainerError"
_NO_CAPACITY = "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"
_ENDED = ("SUCCEEDED", "FAILED")
_OUT_OF_MEMORY = "OutOfMemoryError"

_CAUSES = {
    "Dependent Job failed": Cause.DEPENDENCY,
    "Job attempt duration exceeded timeout": Cause.TIME_LIMIT,
    END_REASON: Cause.CANCELLED,
}
"""Causes of failures, by Batch's status reason."""

_STATES: Mapping[str, JobState] = {
    "SUBMITTED": JobState.WAITING,
    "PENDING": JobState.WAITING,
    "RUNNABLE": JobState.QUEUED,
    "STARTING": JobState.STARTING,
    "RUNNING": JobState.RUNNING,
    "SUCCEEDED": JobState.SUCCEEDED,
    "FAILED": JobState.FAILED,
}


@dataclass(frozen=True, slots=True)
class JobLog:
    """CloudWatch log of a job: one stream for each attempt, in order."""

    group: str
    streams: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ListedJob:
    """A job as ListJobs shows it.

    Attributes:
        status: Status in the words of Batch.
        created_at_ms: Milliseconds since the epoch.
    """

    job_id: str
    status: str
    created_at_ms: int

    @classmethod
    def of(cls, summary: JobSummaryTypeDef) -> ListedJob:
        """Return the job of a summary."""
        return cls(summary["jobId"], summary.get("status", ""), summary.get("createdAt", 0))

    @property
    def has_ended(self) -> bool:
        return self.status in _ENDED

    @property
    def is_queued(self) -> bool:
        return is_queued(self.status)


def is_queued(status: str) -> bool:
    """Return whether a job waits for a machine, by its status in the words of Batch."""
    return _STATES.get(status) is JobState.QUEUED


def terminate_job(client: BatchClient, job_id: str, doing: str, reason: str = END_REASON) -> None:
    """Terminate a job. CancelJob would have no effect once a job is STARTING.

    Args:
        client: Batch client.
        job_id: Id of the job.
        doing: Description for the error, to follow "Can't".
        reason: Reason that Batch reports.

    Raises:
        AwsRefusedError: AWS denied the call.
    """
    try:
        client.terminate_job(jobId=job_id, reason=reason)
    except (ClientError, BotoCoreError) as error:
        raise refused(error, doing) from error


def unended_names(client: BatchClient, job_ids: Collection[str]) -> list[str]:
    """Return the names of the jobs among these that have not ended, sorted.

    Raises:
        AwsRefusedError: AWS denied the call.
    """
    details = describe_jobs(client, sorted(job_ids))
    return sorted(job["jobName"] for job in details if not has_ended(job))


def has_ended(detail: JobDetailTypeDef) -> bool:
    """Return whether a job has ended, and has no other attempt."""
    return detail["status"] in _ENDED


def waits_for_capacity(detail: JobDetailTypeDef) -> bool:
    """Return whether Batch reports that it has no capacity for a job: the first one of a queue."""
    reason = detail.get("statusReason", "")
    return detail["status"] == "RUNNABLE" and reason.startswith(_NO_CAPACITY)


def describe_jobs(client: BatchClient, ids: Sequence[str]) -> Iterator[JobDetailTypeDef]:
    """Yield the details of the jobs; jobs that Batch does not know are left out.

    Raises:
        AwsRefusedError: AWS denied the call.
    """
    for start in range(0, len(ids), JOBS_PER_CALL):
        try:
            response = client.describe_jobs(jobs=list(ids[start : start + JOBS_PER_CALL]))
        except (ClientError, BotoCoreError) as error:
            raise refused(error, "get the states of the jobs from AWS Batch") from error
        yield from response["jobs"]


def list_jobs(
    client: BatchClient, run_id: str, queues: Collection[str], names: Collection[str]
) -> dict[str, list[ListedJob]]:
    """Return a run's jobs that ListJobs shows, by name, with one call for each 100.

    A new job or state appears only after seconds. A name has several jobs if the answer to a
    submission was lost, or if two clients have submitted it.

    Args:
        client: Batch client.
        run_id: The run, with which the names of its jobs begin.
        queues: Names of the queues.
        names: Names of the jobs.

    Raises:
        AwsRefusedError: AWS denied the call.
    """
    jobs: dict[str, list[ListedJob]] = {}
    prefix = f"{run_id}-*"
    for queue in sorted(queues):
        try:
            for page in client.get_paginator("list_jobs").paginate(
                jobQueue=queue, filters=[{"name": "JOB_NAME", "values": [prefix]}]
            ):
                for job in page["jobSummaryList"]:
                    if job["jobName"] in names:
                        jobs.setdefault(job["jobName"], []).append(ListedJob.of(job))
        except (ClientError, BotoCoreError) as error:
            raise refused(error, f"list the jobs of queue {queue!r}") from error
    return jobs


def status_of(detail: JobDetailTypeDef, first_attempt: int = 1) -> JobStatus:
    """Return the status of a job.

    Args:
        detail: Batch's description of the job.
        first_attempt: Number of its first attempt.

    Raises:
        AwsRefusedError: Batch reports a state that this version does not know.
    """
    state = _STATES.get(detail["status"])
    if state is None:
        raise AwsRefusedError(
            what=f"Unknown state {detail['status']!r} of AWS Batch job {detail['jobName']!r}",
            why="this version of flowyml-aws does not know this state",
            fix="upgrade flowyml-aws; the job itself keeps running",
        )
    # An attempt is listed once it has ended.
    is_active = state in (JobState.STARTING, JobState.RUNNING)
    attempts = detail.get("attempts", ())
    number = len(attempts) + is_active
    lost, last = _lost_attempts(detail, state, first_attempt)
    return JobStatus(
        state,
        number + first_attempt - 1 if number else 0,
        _failure_reason(detail) if state is JobState.FAILED else None,
        cause=_cause_of_failure(detail) if state is JobState.FAILED else None,
        losses=sum(map(_has_lost_host, attempts)),
        lacks_capacity=waits_for_capacity(detail),
        lost=lost,
        last=last,
        times=_times_of(detail, state),
    )


def _times_of(detail: JobDetailTypeDef, state: JobState) -> JobTimes:
    """Return the times of the latest attempt. Batch reports none for the start of an instance."""
    attempts = list(detail.get("attempts", ()))
    last = attempts.pop() if state.ended and attempts else None
    queued_ms = attempts[-1].get("stoppedAt") if attempts else detail.get("createdAt")
    started_ms = ended_ms = None
    if last is not None:
        started_ms, ended_ms = last.get("startedAt"), last.get("stoppedAt")
    elif state is JobState.RUNNING:
        started_ms = detail.get("startedAt")
    return JobTimes(
        queued_at=_seconds(queued_ms), started_at=_seconds(started_ms), ended_at=_seconds(ended_ms)
    )


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _lost_attempts(
    detail: JobDetailTypeDef, state: JobState, first_attempt: int
) -> tuple[tuple[EndedAttempt, ...], EndedAttempt | None]:
    """Return the attempts that were lost, and the last one of a failed job if it is not lost."""
    attempts = list(detail.get("attempts", ()))
    ended = tuple(
        EndedAttempt(repeated_as=number, seconds=_run_time_s(attempt))
        for number, attempt in enumerate(attempts, first_attempt + 1)
    )
    if not state.ended or not ended:
        return ended, None
    if state is JobState.SUCCEEDED:
        return ended[:-1], None
    # The runner of a job that is cancelled ends in the same way as one that loses its host.
    is_cancelled = detail.get("statusReason") == END_REASON
    if _has_lost_host(attempts[-1]) and not is_cancelled:
        return ended, None
    return ended[:-1], ended[-1]


def _run_time_s(attempt: AttemptDetailTypeDef) -> float:
    """Return the seconds that the container of an attempt ran; 0 if it never started."""
    if "startedAt" not in attempt or "stoppedAt" not in attempt:
        return 0.0
    return max(0, attempt["stoppedAt"] - attempt["startedAt"]) / 1000


def _cause_of_failure(detail: JobDetailTypeDef) -> Cause | None:
    """Return the cause of the failure of a job, if Batch reports it."""
    status_reason = detail.get("statusReason", "")
    if (cause := _CAUSES.get(status_reason)) is not None:
        return cause
    container = detail.get("container", {})
    reason = str(container.get("reason", ""))
    if reason.startswith(_OUT_OF_MEMORY):
        return Cause.OUT_OF_MEMORY
    if reason.startswith(_NOT_PULLED) or lack_of_efa(reason) is not None:
        return Cause.SETUP
    attempts = list(detail.get("attempts", ()))
    code = container.get("exitCode", 0)
    if len(attempts) >= MAX_ATTEMPTS and (code == STORE_OUTAGE or _has_lost_host(attempts[-1])):
        return Cause.CAPACITY if any(map(_has_lost_host, attempts)) else Cause.STORE_OUTAGE
    if code == INTERRUPTED and status_reason != MOVE_REASON:
        return Cause.CANCELLED  # a runner that Batch has not stopped is started again
    return Cause.SETUP if code == BAD_INPUT else MOVES.get(code)


def _has_lost_host(attempt: AttemptDetailTypeDef) -> bool:
    """Return whether an attempt ended with a host: its own one, or that of another node.

    ECS may report first how the runner ended.
    """
    if attempt.get("statusReason", "").startswith(_HOST_LOST):
        return True
    return attempt.get("container", {}).get("exitCode") in (INTERRUPTED, NODE_LOST)


def is_second_copy(detail: JobDetailTypeDef) -> bool:
    """Return whether a job ended because another copy of it holds the claim."""
    return detail.get("container", {}).get("exitCode") == SECOND_COPY


def log_of(detail: JobDetailTypeDef) -> JobLog:
    """Return the log group and streams of a job."""
    container = detail.get("container", {})
    options = container.get("logConfiguration", {}).get("options", {})
    ended = [attempt.get("container", {}) for attempt in detail.get("attempts", ())]
    streams = [part["logStreamName"] for part in (*ended, container) if "logStreamName" in part]
    return JobLog(options.get("awslogs-group", _DEFAULT_LOG_GROUP), tuple(dict.fromkeys(streams)))


def _failure_reason(detail: JobDetailTypeDef) -> str:
    container = detail.get("container", {})
    reason = str(container.get("reason", ""))
    if reason.startswith(_OUT_OF_MEMORY):
        return _out_of_memory_message(container)
    reasons = [reason, lack_of_efa(reason), detail.get("statusReason")]
    if (code := container.get("exitCode")) is not None:
        reasons.append(f"exit code {code}")
    return "; ".join(reason for reason in reasons if reason) or "AWS Batch gives no reason"


def _out_of_memory_message(container: ContainerDetailTypeDef) -> str:
    needs = container.get("resourceRequirements", ())
    limit = next((f" of {need['value']} MiB" for need in needs if need["type"] == "MEMORY"), "")
    return (
        f"out of memory: the job exceeded its memory limit{limit} and was killed (exit code "
        f"{container.get('exitCode', 137)}); request more memory in the resources of its steps"
    )
