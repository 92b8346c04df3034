"""Log streams of the hosts of a training job: `JOB/algo-2-1700000000`, one for each start."""

from __future__ import annotations

import re
from collections.abc import Sequence

from flowyml_aws.aws.log_streams import NodeStreams

__all__ = ["streams_by_node"]

_HOST = re.compile(r".*/algo-(?P<number>\d+)-[^/]*")


def streams_by_node(group: str, streams: Sequence[str]) -> list[NodeStreams]:
    """Return the streams of each node, oldest first; the host `algo-1` is node 0.

    Args:
        group: Log group.
        streams: Names of all streams of a job, oldest first. Those of no host are left out.
    """
    by_node: dict[int, list[str]] = {}
    for stream in streams:
        if (match := _HOST.fullmatch(stream)) is not None:
            by_node.setdefault(int(match["number"]) - 1, []).append(stream)
    return [NodeStreams(node, group, tuple(by_node[node])) for node in sorted(by_node)]
