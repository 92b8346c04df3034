"""The operations on AWS Batch queues that moto lacks.

moto (5.2) drops a queue's `jobStateTimeLimitActions`, and requires a service role for a compute
environment although AWS defaults to its service-linked role.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moto.batch.models import batch_backends
from moto.core.models import DEFAULT_ACCOUNT_ID

from flowyml_aws.testing.api import Handler, Rewrite

__all__ = ["BatchAccount"]


class BatchAccount:
    """The parts of a Batch account that infrastructure code sets.

    Args:
        service_role: ARN of the role that replaces Batch's service-linked role.

    Attributes:
        handlers: Handlers by operation.
        rewrites: Functions by operation that adapt a request for moto.
    """

    def __init__(self, service_role: str) -> None:
        self._service_role = service_role
        self._time_limits: dict[tuple[str, str], Any] = {}
        self.handlers: Mapping[str, Handler] = {
            "DescribeJobQueues": self._describe_queues,
        }
        self.rewrites: Mapping[str, Rewrite] = {
            "CreateComputeEnvironment": self._with_service_role,
            "CreateJobQueue": self._record_time_limits,
            "UpdateJobQueue": self._record_time_limits,
        }

    def _with_service_role(self, request: Mapping[str, Any], region: str) -> dict[str, Any]:
        return {**request, "serviceRole": request.get("serviceRole") or self._service_role}

    def _record_time_limits(self, request: Mapping[str, Any], region: str) -> dict[str, Any]:
        if "jobStateTimeLimitActions" in request:
            name = request.get("jobQueueName") or request["jobQueue"].rpartition("/")[2]
            self._time_limits[region, name] = request["jobStateTimeLimitActions"]
        return dict(request)

    def _describe_queues(
        self, request: Mapping[str, Any], region: str, size: int
    ) -> dict[str, Any]:
        backend = batch_backends[DEFAULT_ACCOUNT_ID][region]
        queues = []
        for queue in backend.describe_job_queues(request.get("jobQueues")):
            limits = self._time_limits.get((region, queue["jobQueueName"]), [])
            queues.append({**queue, "jobStateTimeLimitActions": limits})
        return {"jobQueues": queues}
