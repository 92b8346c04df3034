"""What AWS Batch tells about its jobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.errors import refused
from flowyml_aws.core.errors import AwsRefusedError
from flowyml_aws.submission.backend import JobState, JobStatus

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient
    from mypy_boto3_batch.type_defs import ContainerDetailTypeDef, JobDetailTypeDef

__all__ = ["JobLog", "describe_jobs", "log_of", "status_of"]

# https://docs.aws.amazon.com/batch/latest/APIReference/API_DescribeJobs.html
_AT_ONCE = 100
_DEFAULT_LOG_GROUP = "/aws/batch/job"

_OUT_OF_MEMORY = "OutOfMemoryError"

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
    """Where a job's log is in CloudWatch: one stream for each attempt, in order."""

    group: str
    streams: tuple[str, ...]


def describe_jobs(client: BatchClient, ids: Sequence[str]) -> Iterator[JobDetailTypeDef]:
    """What Batch knows of these jobs; those that it does not know are left out.

    Raises:
        AwsRefusedError: It denied the call.
    """
    for at in range(0, len(ids), _AT_ONCE):
        try:
            answer = client.describe_jobs(jobs=list(ids[at : at + _AT_ONCE]))
        except (ClientError, BotoCoreError) as error:
            raise refused(error, "ask AWS Batch how the jobs are") from error
        yield from answer["jobs"]


def status_of(detail: JobDetailTypeDef) -> JobStatus:
    """A job's state.

    Raises:
        AwsRefusedError: Nobody knows the state that Batch tells.
    """
    state = _STATES.get(detail["status"])
    if state is None:
        raise AwsRefusedError(
            what=f"AWS Batch says job {detail['jobName']!r} is {detail['status']!r}",
            why="this version of flowyml-aws does not know that state",
            fix="upgrade flowyml-aws; the job itself goes on",
        )
    # An attempt is listed once it has ended.
    is_going = state in (JobState.STARTING, JobState.RUNNING)
    attempt = len(detail.get("attempts", ())) + is_going
    return JobStatus(state, attempt, _why(detail) if state is JobState.FAILED else None)


def log_of(detail: JobDetailTypeDef) -> JobLog:
    """Where a job's log is."""
    container = detail.get("container", {})
    options = container.get("logConfiguration", {}).get("options", {})
    ended = [attempt.get("container", {}) for attempt in detail.get("attempts", ())]
    streams = [part["logStreamName"] for part in (*ended, container) if "logStreamName" in part]
    return JobLog(options.get("awslogs-group", _DEFAULT_LOG_GROUP), tuple(dict.fromkeys(streams)))


def _why(detail: JobDetailTypeDef) -> str:
    container = detail.get("container", {})
    if str(container.get("reason", "")).startswith(_OUT_OF_MEMORY):
        return _told_out_of_memory(container)
    told = [container.get("reason"), detail.get("statusReason")]
    if (code := container.get("exitCode")) is not None:
        told.append(f"exit code {code}")
    return "; ".join(text for text in told if text) or "AWS Batch gives no reason"


def _told_out_of_memory(container: ContainerDetailTypeDef) -> str:
    needs = container.get("resourceRequirements", ())
    had = next((f"{need['value']} MiB" for need in needs if need["type"] == "MEMORY"), "memory")
    return (
        f"out of memory: the job used more than the {had} that it has, and was ended "
        f"(exit code {container.get('exitCode', 137)}); ask for more memory in its steps' resources"
    )
