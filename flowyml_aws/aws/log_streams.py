"""Job logs in CloudWatch, read incrementally with a cursor."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.errors import refused
from flowyml_aws.submission.backend import LogLine

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient

__all__ = ["NodeStreams", "read_nodes", "read_streams"]


@dataclass(frozen=True, slots=True)
class NodeStreams:
    """Log of one node of a job: a stream for each of its attempts so far, in order.

    Attributes:
        node: Index of the node; 0 is the main node.
    """

    node: int
    group: str
    streams: tuple[str, ...]


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


def read_nodes(
    logs: CloudWatchLogsClient, job: str, nodes: Sequence[NodeStreams], cursor: str | None
) -> tuple[list[LogLine], str]:
    """Return the lines of all nodes after a cursor, in the order of their times, and the next one.

    Lines of all nodes but the main node begin with a label such as `[node 2] `.

    Args:
        logs: CloudWatch Logs client.
        job: Name of the job in the plan.
        nodes: Logs of the nodes that have started.
        cursor: Cursor from the last call; None to begin with the newest attempt.

    Raises:
        AwsRefusedError: AWS denied a call.
    """
    cursors: Mapping[str, str] = json.loads(cursor) if cursor else {}
    newest = max((len(each.streams) for each in nodes), default=1) - 1
    lines: list[LogLine] = []
    following = dict(cursors)
    for each in nodes:
        key = str(each.node)
        # A node without a cursor has started after the last call.
        first = 0 if cursors else min(newest, len(each.streams))
        more, position = read_streams(
            logs, job, each.group, each.streams, cursors.get(key), first=first
        )
        lines += more if each.node == 0 else [_labelled(line, each.node) for line in more]
        following[key] = position or f"{first}:"
    lines.sort(key=lambda line: line.time_ms or 0)  # keeps the order of each node
    return lines, json.dumps(following)


def _labelled(line: LogLine, node: int) -> LogLine:
    return replace(line, message=f"[node {node}] {line.message}")


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
