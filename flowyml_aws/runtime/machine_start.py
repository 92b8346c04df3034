"""Start of the machine, and the pull of the job's image from the agent of Amazon ECS.

AWS Batch starts containers with ECS, whose agent serves each container the metadata of its task. No
permission is needed.

Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4.html
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

__all__ = ["METADATA_VARIABLE", "ImagePull", "machine_started_at", "read_pull"]

METADATA_VARIABLE = "ECS_CONTAINER_METADATA_URI_V4"
_STATISTICS = Path("/proc/stat")
_TIMEOUT_S = 1.0
_MAX_BYTES = 1 << 20
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?Z")


@dataclass(frozen=True, slots=True)
class ImagePull:
    """Pull of the image, in seconds since the epoch; None if the agent does not report a time."""

    started_at: float | None = None
    ended_at: float | None = None

    @classmethod
    def of_task(cls, metadata: Mapping[str, Any]) -> ImagePull:
        """Return the pull that the metadata of a task reports."""
        return cls(_time(metadata.get("PullStartedAt")), _time(metadata.get("PullStoppedAt")))


def read_pull(environment: Mapping[str, str]) -> ImagePull:
    """Return the pull of the image of this container; without times outside ECS.

    Raises:
        OSError: The agent did not answer in time.
        ValueError: Its answer can't be understood.
    """
    uri = environment.get(METADATA_VARIABLE)
    if not uri:
        return ImagePull()
    from http.client import HTTPConnection, HTTPException
    from urllib.parse import urlsplit

    place = urlsplit(uri)
    connection = HTTPConnection(place.hostname or "", place.port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", f"{place.path.rstrip('/')}/task")
        response = connection.getresponse()
        body = response.read(_MAX_BYTES)
    except HTTPException as error:
        raise ValueError(f"{uri}/task: {error}") from error
    finally:
        connection.close()
    if response.status != 200:
        raise ValueError(f"{uri}/task: status {response.status}")
    metadata = json.loads(body)
    if not isinstance(metadata, dict):
        raise ValueError(f"{uri}/task: no JSON object")
    return ImagePull.of_task(metadata)


def machine_started_at(statistics: Path = _STATISTICS) -> float | None:
    """Return when the kernel started, in seconds since the epoch; None if it does not report it.

    Containers see the time of their host.
    """
    with contextlib.suppress(OSError, ValueError):
        for line in statistics.read_text("ascii", errors="replace").splitlines():
            if line.startswith("btime "):
                return float(line.split()[1])
    return None


def _time(text: object) -> float | None:
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    seconds = datetime.fromisoformat(match[1]).replace(tzinfo=timezone.utc).timestamp()
    return seconds + float(match[2] or 0)
