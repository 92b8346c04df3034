"""The emulated agent of Amazon ECS, which serves each container the metadata of its task.

Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

__all__ = ["TASK_PATH", "TASK_VARIABLE", "TaskAgent"]

TASK_PATH = "/task-metadata/"
TASK_VARIABLE = "ECS_CONTAINER_METADATA_URI_V4"


class TaskAgent:
    """WSGI application with the metadata of each task."""

    def __init__(self) -> None:
        self._tasks: dict[str, dict[str, str]] = {}

    def record_pull(self, task_arn: str, started_ms: int, stopped_ms: int) -> None:
        """Record the pull of a task's image, in milliseconds since the epoch."""
        self._tasks[task_arn.rpartition("/")[2]] = {
            "TaskARN": task_arn,
            "PullStartedAt": _time(started_ms),
            "PullStoppedAt": _time(stopped_ms),
        }

    def __call__(self, environ: Mapping[str, Any], start_response: Any) -> Iterable[bytes]:
        task_id, _, path = environ["PATH_INFO"].removeprefix(TASK_PATH).partition("/")
        task = self._tasks.get(task_id) if path == "task" else None
        body = json.dumps(task or {}).encode()
        start_response(
            "404 Not Found" if task is None else "200 OK",
            [("Content-Type", "application/json"), ("Content-Length", str(len(body)))],
        )
        return [body]


def _time(milliseconds: int) -> str:
    time = datetime.fromtimestamp(milliseconds / 1000, timezone.utc)
    return f"{time:%Y-%m-%dT%H:%M:%S.%f}Z"
