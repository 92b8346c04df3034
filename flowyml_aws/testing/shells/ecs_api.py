"""ECS Exec: shells in the tasks of AWS Batch jobs.

Source: Amazon ECS API reference, ExecuteCommand and DescribeTasks. It does not document some
messages of errors; these are the emulator's own.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Mapping
from typing import Any

from flowyml_aws.testing.api import Handler, Rewrite
from flowyml_aws.testing.batch.jobs import Attempt, Job
from flowyml_aws.testing.batch.scheduler import Scheduler
from flowyml_aws.testing.iam.service_roles import ServiceRoles
from flowyml_aws.testing.refusal import Refusal
from flowyml_aws.testing.shells.sessions import Sessions

__all__ = ["EcsApi"]

_CONTAINER = "default"  # the name of the only container of Batch's tasks


class ClusterNotFoundException(Refusal):
    """No such cluster."""


class InvalidParameterException(Refusal):
    """A parameter is invalid, or the task was started without shells."""


class TargetNotConnectedException(Refusal):
    """The agent for shells of the task can't be reached."""


class EcsApi:
    """ECS's operations on the tasks of Batch jobs.

    Args:
        scheduler: Scheduler of the jobs.
        roles: Use of the account's roles.
        sessions: Open sessions.

    Attributes:
        handlers: Handlers by operation.
        rewrites: Always empty.
    """

    def __init__(self, scheduler: Scheduler, roles: ServiceRoles, sessions: Sessions) -> None:
        self._scheduler = scheduler
        self._roles = roles
        self._sessions = sessions
        self.handlers: Mapping[str, Handler] = {
            "DescribeTasks": self._describe_tasks,
            "ExecuteCommand": self._execute_command,
        }
        self.rewrites: Mapping[str, Rewrite] = {}

    def _describe_tasks(self, request: Mapping[str, Any], region: str, size: int) -> dict[str, Any]:
        tasks, failures = [], []
        for task in request.get("tasks") or ():
            if (found := self._find(request, task)) is None:
                failures.append({"arn": task, "reason": "MISSING"})
            else:
                tasks.append(_task(*found))
        return {"tasks": tasks, "failures": failures}

    def _execute_command(
        self, request: Mapping[str, Any], region: str, size: int
    ) -> dict[str, Any]:
        if not request.get("interactive"):
            raise InvalidParameterException("Interactive is the only mode supported currently.")
        try:
            command = shlex.split(request.get("command") or "")
        except ValueError as error:
            raise InvalidParameterException(f"Invalid command: {error}") from error
        if not command:
            raise InvalidParameterException("command can not be blank.")
        if (found := self._find(request, request.get("task") or "")) is None:
            raise InvalidParameterException("The specified task was not found.")
        job, attempt = found
        if request.get("container", _CONTAINER) != _CONTAINER:
            raise InvalidParameterException("The specified container was not found.")
        if attempt.task.running is None:
            raise InvalidParameterException("The specified task is not running.")
        if not job.properties.get("enableExecuteCommand"):
            raise InvalidParameterException(
                "The execute command failed because execute command was not enabled when the task "
                "was run or the execute command agent isn't running. Wait and try again or run a "
                "new task with execute command enabled and try again."
            )
        task_id = attempt.task_arn.rpartition("/")[2]
        if not self._roles.lets_shells_connect(job.properties.get("jobRoleArn"), task_id):
            raise TargetNotConnectedException(
                "The execute command failed because the target is not connected."
            )
        described = _task(job, attempt)
        (container,) = described["containers"]
        cluster = described["clusterArn"].rpartition("/")[2]
        target = f"ecs:{cluster}_{task_id}_{container['runtimeId']}"
        session = self._sessions.open("ecs-execute-command-", target, attempt.task, command)
        return {
            "clusterArn": described["clusterArn"],
            "containerArn": container["containerArn"],
            "containerName": container["name"],
            "interactive": True,
            "session": {
                "sessionId": session.session_id,
                "streamUrl": session.url,
                "tokenValue": session.token,
            },
            "taskArn": attempt.task_arn,
        }

    def _find(self, request: Mapping[str, Any], task: str) -> tuple[Job, Attempt] | None:
        """Return the job of a task, by the ARN or the id of the task, with the attempt.

        Raises:
            ClusterNotFoundException: No job runs in the cluster.
        """
        cluster = (request.get("cluster") or "default").rpartition("/")[2]
        found = None
        is_cluster = False
        for job in self._scheduler.jobs.values():
            if job.attempt is None or job.nodes is not None:
                continue
            _, name, task_id = job.attempt.task_arn.split("/")
            if name == cluster:
                is_cluster = True
                if task in (task_id, job.attempt.task_arn):
                    found = job, job.attempt
        if not is_cluster:
            raise ClusterNotFoundException("Cluster not found.")
        return found


def _task(job: Job, attempt: Attempt) -> dict[str, Any]:
    """Return a task in the form of DescribeTasks."""
    arn = attempt.task_arn
    status = "STOPPED" if attempt.task.running is None else "RUNNING"
    return {
        "taskArn": arn,
        "clusterArn": arn.replace(":task/", ":cluster/").rpartition("/")[0],
        "enableExecuteCommand": bool(job.properties.get("enableExecuteCommand")),
        "lastStatus": status,
        "containers": [
            {
                "containerArn": arn.replace(":task/", ":container/"),
                "taskArn": arn,
                "name": _CONTAINER,
                "lastStatus": status,
                # On AWS, the id that Docker has given the container.
                "runtimeId": hashlib.sha256(arn.encode()).hexdigest(),
            }
        ],
    }
