"""The emulated queues and compute environments: reasons that hold jobs in RUNNABLE, and job order.

moto stores them, but supports neither invalid compute environments nor their vCPU limits.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from moto.batch.models import BatchBackend, ComputeEnvironment, batch_backends
from moto.core.models import DEFAULT_ACCOUNT_ID

from flowyml_aws.planning.catalog import InstanceType
from flowyml_aws.planning.catalog_files import load_catalog
from flowyml_aws.planning.families import expand_families
from flowyml_aws.testing.account import REGION
from flowyml_aws.testing.capacity import Capacity
from flowyml_aws.testing.jobs import Job, Status
from flowyml_aws.testing.validation import ClientException

__all__ = ["Queues", "snapshot"]

_MAX_FRONT_JOBS = 100
_ON_INSTANCES = (Status.STARTING, Status.RUNNING)
# https://docs.aws.amazon.com/batch/latest/userguide/troubleshooting.html#job_stuck_in_runnable
_NOTHING_FITS = (
    "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement (vCPU/memory/GPU) "
    "is higher than that can be met by the CE(s) attached to the job queue."
)
_MAX_TOO_LOW = (
    "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE - CE(s) associated with the job queue "
    "cannot meet the CPU requirement of the job."
)


class Queues:
    """Queues and compute environments as clients and the scheduler see them.

    Attributes:
        broken: Reasons by name of compute environments that are INVALID.
        withheld: Batch's status reasons by name of queues that get no instances from EC2.
    """

    def __init__(self) -> None:
        self.broken: dict[str, str] = {}
        self.withheld: dict[str, str] = {}
        self._update_policies: dict[str, Any] = {}

    def hold_reason(self, job: Job, jobs: Iterable[Job]) -> str | None:
        """Return Batch's status reason if a job can't start, otherwise None.

        The reason is empty if Batch reports none.

        Args:
            job: Job in RUNNABLE.
            jobs: All jobs, or at least the running ones.
        """
        if job.queue_name in self.withheld:
            return self.withheld[job.queue_name]
        queue = _backend(REGION).get_job_queue(job.queue_arn)
        assert queue is not None  # a queue with jobs can't be deleted
        usable = [
            e for e in queue.environments if e.state == "ENABLED" and e.name not in self.broken
        ]
        fitting = [environment for environment in usable if _fits(environment, job.needs)]
        large = [e for e in fitting if _max_vcpus(e) >= job.needs.vcpus]
        used = _used_vcpus(jobs)
        if any(used.get(e.name, 0) + job.needs.vcpus <= _max_vcpus(e) for e in large):
            return None
        if not usable or large:
            return ""
        return _MAX_TOO_LOW if fitting else _NOTHING_FITS

    def describe(
        self, request: Mapping[str, Any], region: str, jobs: Iterable[Job]
    ) -> dict[str, Any]:
        """Return the response of DescribeComputeEnvironments."""
        names = request.get("computeEnvironments")
        used = _used_vcpus(jobs)
        environments = copy.deepcopy(_backend(region).describe_compute_environments(names))
        for environment in environments:
            name = environment["computeEnvironmentName"]
            if name in self.broken:
                environment.update(status="INVALID", statusReason=self.broken[name])
            if name in self._update_policies:
                environment["updatePolicy"] = self._update_policies[name]
            if "computeResources" in environment:
                environment["computeResources"]["desiredvCpus"] = used.get(name, 0)
        return {"computeEnvironments": environments}

    def update(self, request: Mapping[str, Any], region: str) -> dict[str, Any]:
        """Update an environment and return the response; moto would not update its resources.

        Raises:
            ClientException: The environment does not exist, or the state is invalid.
        """
        name = request.get("computeEnvironment", "").rpartition("/")[2]
        environment = _backend(region).get_compute_environment(name)
        if environment is None:
            raise ClientException(f"Compute environment {name} does not exist")
        state = request.get("state", environment.state)
        if state not in ("ENABLED", "DISABLED"):
            raise ClientException(f"state {state} must be one of ENABLED | DISABLED")
        environment.state = state
        environment.service_role = request.get("serviceRole", environment.service_role)
        environment.compute_resources.update(request.get("computeResources") or {})
        if "updatePolicy" in request:
            self._update_policies[name] = request["updatePolicy"]
        return {"computeEnvironmentName": name, "computeEnvironmentArn": environment.arn}


def snapshot(queue_arn: str, jobs: Iterable[Job], now_ms: int) -> dict[str, Any]:
    """Return the response of GetJobQueueSnapshot: the first jobs waiting in a queue, in order."""
    front = [j for j in jobs if j.queue_arn == queue_arn and j.status is Status.RUNNABLE]
    entries = [
        {"jobArn": job.arn, "earliestTimeAtPosition": job.created_ms}
        for job in front[:_MAX_FRONT_JOBS]
    ]
    return {"frontOfQueue": {"jobs": entries, "lastUpdatedAt": now_ms}}


def _backend(region: str) -> BatchBackend:
    return batch_backends[DEFAULT_ACCOUNT_ID][region]


def _max_vcpus(environment: ComputeEnvironment) -> int:
    return int((environment.compute_resources or {}).get("maxvCpus", 0))


def _used_vcpus(jobs: Iterable[Job]) -> dict[str, int]:
    used: dict[str, int] = {}
    for job in jobs:
        if job.status in _ON_INSTANCES:
            name = job.compute_environment
            used[name] = used.get(name, 0) + job.needs.vcpus
    return used


def _fits(environment: ComputeEnvironment, needs: Capacity) -> bool:
    """Return True if an instance type is large enough; types not in the catalog may be."""
    entries = tuple((environment.compute_resources or {}).get("instanceTypes", ()))
    types = _types(entries)
    known = [t for t in types if t is not None]
    return len(known) < len(types) or not types or any(_capacity(t).covers(needs) for t in known)


@lru_cache(maxsize=64)
def _types(entries: Sequence[str]) -> Sequence[InstanceType | None]:
    return list(_iter_types(entries))


def _iter_types(entries: Sequence[str]) -> Iterator[InstanceType | None]:
    catalog = load_catalog()
    for name in expand_families(entries, catalog):
        yield catalog.get(name)


def _capacity(instance_type: InstanceType) -> Capacity:
    return Capacity(instance_type.vcpus, instance_type.usable_memory_mib, instance_type.gpu_count)
