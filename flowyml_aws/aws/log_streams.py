"""Job logs in CloudWatch, read incrementally with a cursor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.errors import refused
from flowyml_aws.submission.backend import LogLine

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient

__all__ = ["read_streams"]


def read_streams(
    logs: CloudWatchLogsClient,
    job: str,
    group: str,
    streams: Sequence[str],
    cursor: str | None,
    first: int,
) -> tuple[list[LogLine], str | None]:
    """Return the lines after a cursor, up to the end of the last stream, and the next cursor.

    Args:
        logs: CloudWatch Logs client.
        job: Name of the job in the plan.
        group: Log group.
        streams: The job's streams so far, in order; more may follow.
        cursor: Cursor from the last call; None to begin with the stream at index `first`.
        first: Index of the first stream to read if there is no cursor.

    Raises:
        AwsRefusedError: AWS denied the call.
    """
    index, _, token = (cursor or f"{first}:").partition(":")
    lines: list[LogLine] = []
    for number in range(int(index), len(streams)):
        more, token = _read_stream(logs, job, group, streams[number], token)
        lines += more
        cursor = f"{number}:{token}"
        token = ""
    return lines, cursor


def _read_stream(
    logs: CloudWatchLogsClient, job: str, group: str, stream: str, token: str
) -> tuple[list[LogLine], str]:
    """Return the lines after a token, and the token of the end of the stream."""
    lines: list[LogLine] = []
    while True:
        position: dict[str, Any] = {"nextToken": token} if token else {}
        try:
            page = logs.get_log_events(
                logGroupName=group, logStreamName=stream, startFromHead=True, **position
            )
        except logs.exceptions.ResourceNotFoundException:
            return lines, token  # the job has not printed anything yet
        except (ClientError, BotoCoreError) as error:
            raise refused(error, f"read the log of job {job!r}") from error
        lines += [LogLine(job, e["message"], e["timestamp"]) for e in page["events"]]
        # At the end of a stream, CloudWatch returns the same token again.
        if page["nextForwardToken"] == token:
            return lines, token
        token = page["nextForwardToken"]
