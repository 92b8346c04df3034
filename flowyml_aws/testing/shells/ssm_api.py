"""Sessions of AWS Systems Manager with the containers of training jobs.

Source: "Access a training container through AWS Systems Manager (SSM) for remote debugging" in
SageMaker's developer guide, and StartSession in the API reference of AWS Systems Manager.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from flowyml_aws.testing.api import Handler, Rewrite
from flowyml_aws.testing.iam.service_roles import ServiceRoles
from flowyml_aws.testing.machines.machine import Task
from flowyml_aws.testing.refusal import Refusal
from flowyml_aws.testing.sagemaker.service import TrainingService
from flowyml_aws.testing.shells.sessions import Sessions

__all__ = ["SsmApi"]

_TARGET = re.compile(r"sagemaker-training-job:(?P<job>.+)_(?P<host>algo-\d+)")
_SHELL = ("sh",)


class InvalidDocument(Refusal):
    """The document of the session is not emulated."""


class TargetNotConnected(Refusal):
    """The target has no agent that is connected."""


class SsmApi:
    """The operation of AWS Systems Manager that opens sessions; all others are moto's.

    Args:
        training: Training jobs.
        roles: Use of the account's roles.
        sessions: Open sessions.

    Attributes:
        handlers: Handlers by operation.
        rewrites: Always empty.
    """

    def __init__(self, training: TrainingService, roles: ServiceRoles, sessions: Sessions) -> None:
        self._training = training
        self._roles = roles
        self._sessions = sessions
        self.handlers: Mapping[str, Handler] = {"StartSession": self._start_session}
        self.rewrites: Mapping[str, Rewrite] = {}

    def _start_session(self, request: Mapping[str, Any], region: str, size: int) -> dict[str, Any]:
        target = request.get("Target") or ""
        if request.get("DocumentName"):
            raise InvalidDocument("flowyml_aws.testing opens sessions without a document only")
        if (task := self._connected(target)) is None:
            raise TargetNotConnected(f"{target} is not connected.")
        session = self._sessions.open("emulator-", target, task, _SHELL)
        return {
            "SessionId": session.session_id,
            "StreamUrl": session.url,
            "TokenValue": session.token,
        }

    def _connected(self, target: str) -> Task | None:
        """Return the running task of a training job's host, if shells can connect to it."""
        match = _TARGET.fullmatch(target)
        job = self._training.jobs.get(match["job"]) if match else None
        if match is None or job is None or job.launch is None or job.secondary != "Training":
            return None
        if not (job.request.get("RemoteDebugConfig") or {}).get("EnableRemoteDebug"):
            return None
        if not self._roles.lets_shells_connect(job.request["RoleArn"], "SageMaker"):
            return None
        tasks = [host.task for host in job.launch.hosts if host.name == match["host"]]
        return tasks[0] if tasks and tasks[0].running is not None else None
