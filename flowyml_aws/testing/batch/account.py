"""The operations on AWS Batch queues that moto lacks.

moto (5.2) drops a queue's `jobStateTimeLimitActions`, and creates queues and compute environments
at once. It requires a service role for a compute environment although AWS defaults to its
service-linked role, and has no default for its state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moto.batch.models import batch_backends
from moto.core.models import DEFAULT_ACCOUNT_ID

from flowyml_aws.testing.api import Handler, Rewrite
from flowyml_aws.testing.batch.interfaces import with_security_groups
from flowyml_aws.testing.batch.queues import Queues
from flowyml_aws.testing.batch.shares import check_policy
from flowyml_aws.testing.batch.validation import ClientException
from flowyml_aws.testing.consistency import Transitions

__all__ = ["BatchAccount"]


class BatchAccount:
    """The parts of a Batch account that infrastructure code sets.

    Args:
        service_role: ARN of the role that replaces Batch's service-linked role.
        queues: Compute environments of the account.
        changes: Job queues that are CREATING or UPDATING, by name.

    Attributes:
        handlers: Handlers by operation.
        rewrites: Functions by operation that adapt a request for moto.
    """

    def __init__(self, service_role: str, queues: Queues, changes: Transitions) -> None:
        self._service_role = service_role
        self._queues = queues
        self._changes = changes
        self._time_limits: dict[tuple[str, str], Any] = {}
        self.handlers: Mapping[str, Handler] = {
            "DescribeJobQueues": self._describe_queues,
        }
        self.rewrites: Mapping[str, Rewrite] = {
            "CreateComputeEnvironment": self._create_environment,
            "CreateJobQueue": self._create_queue,
            "UpdateJobQueue": self._update_queue,
        }

    def status(self, queue: str) -> str:
        """Return the status of an existing job queue, given by name."""
        return self._changes.state(queue) or "VALID"

    def _create_environment(self, request: Mapping[str, Any], region: str) -> dict[str, Any]:
        changes: dict[str, Any] = {"serviceRole": request.get("serviceRole") or self._service_role}
        if resources := request.get("computeResources"):
            changes["computeResources"] = with_security_groups(resources, region)
        self._queues.create(request, region)
        return {"state": "ENABLED", **request, **changes}

    def _create_queue(self, request: Mapping[str, Any], region: str) -> dict[str, Any]:
        name = request.get("jobQueueName", "")
        backend = batch_backends[DEFAULT_ACCOUNT_ID][region]
        check_policy(request, None, backend)
        if backend.get_job_queue(name) is None:
            self._change_queue(name, "CREATING", request, region)
        return dict(request)

    def _update_queue(self, request: Mapping[str, Any], region: str) -> dict[str, Any]:
        name = request.get("jobQueue", "").rpartition("/")[2]
        if self._changes.state(name) is not None:
            raise ClientException("Cannot update, resource is being modified")
        backend = batch_backends[DEFAULT_ACCOUNT_ID][region]
        check_policy(request, backend.get_job_queue(name), backend)
        self._change_queue(name, "UPDATING", request, region)
        return dict(request)

    def _change_queue(self, name: str, state: str, request: Mapping[str, Any], region: str) -> None:
        order = request.get("computeEnvironmentOrder") or ()
        self._queues.check_valid(entry["computeEnvironment"] for entry in order)
        if "jobStateTimeLimitActions" in request:
            self._time_limits[region, name] = request["jobStateTimeLimitActions"]
        self._changes.begin(name, state)

    def _describe_queues(
        self, request: Mapping[str, Any], region: str, size: int
    ) -> dict[str, Any]:
        backend = batch_backends[DEFAULT_ACCOUNT_ID][region]
        queues = []
        for queue in backend.describe_job_queues(request.get("jobQueues")):
            name = queue["jobQueueName"]
            limits = self._time_limits.get((region, name), [])
            own = {"status": self.status(name), "jobStateTimeLimitActions": limits}
            queues.append({**queue, **own})
        return {"jobQueues": queues}
