"""The part of AWS Batch's API that deals with queues, where moto lacks it.

moto (5.2) forgets a queue's `jobStateTimeLimitActions`, and insists on a service role for a compute
environment where AWS takes its own service-linked one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moto.batch.models import batch_backends
from moto.core.models import DEFAULT_ACCOUNT_ID

from flowyml_aws.testing.api import Answer, Rewrite

__all__ = ["BatchAccount"]


class BatchAccount:
    """What infrastructure code sets of an account.

    Args:
        service_role: ARN of the role that stands for Batch's service-linked one.

    Attributes:
        answers: Operation to what answers it, from the request, its region and its size in bytes.
        rewrites: Operation to what makes its request fit for moto, from the request and its region.
    """

    def __init__(self, service_role: str) -> None:
        self._service_role = service_role
        self._limits: dict[tuple[str, str], Any] = {}
        self.answers: Mapping[str, Answer] = {
            "DescribeJobQueues": self._describe_queues,
        }
        self.rewrites: Mapping[str, Rewrite] = {
            "CreateComputeEnvironment": self._with_service_role,
            "CreateJobQueue": self._note_limits,
            "UpdateJobQueue": self._note_limits,
        }

    def _with_service_role(self, request: Mapping[str, Any], region: str) -> dict[str, Any]:
        return {**request, "serviceRole": request.get("serviceRole") or self._service_role}

    def _note_limits(self, request: Mapping[str, Any], region: str) -> dict[str, Any]:
        if "jobStateTimeLimitActions" in request:
            name = request.get("jobQueueName") or request["jobQueue"].rpartition("/")[2]
            self._limits[region, name] = request["jobStateTimeLimitActions"]
        return dict(request)

    def _describe_queues(
        self, request: Mapping[str, Any], region: str, size: int
    ) -> dict[str, Any]:
        backend = batch_backends[DEFAULT_ACCOUNT_ID][region]
        found = []
        for told in backend.describe_job_queues(request.get("jobQueues")):
            limits = self._limits.get((region, told["jobQueueName"]), [])
            found.append({**told, "jobStateTimeLimitActions": limits})
        return {"jobQueues": found}
