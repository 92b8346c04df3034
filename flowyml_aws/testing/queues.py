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

from flowyml_aws.aws.quotas import Quota, quota_of
from flowyml_aws.planning.catalog import InstanceType
from flowyml_aws.planning.catalog_files import load_catalog
from flowyml_aws.planning.families import expand_families
from flowyml_aws.testing.account import REGION
from flowyml_aws.testing.capacity import Capacity
from flowyml_aws.testing.consistency import Transitions
from flowyml_aws.testing.jobs import Job, Status
from flowyml_aws.testing.quotas import AccountQuotas
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

_NO_INSTANCE = (
    "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - Service cannot fulfill the capacity requested for "
    "instance type [{}]"
)


class Queues:
    """Queues and compute environments as clients and the scheduler see them.

    Args:
        quotas: Quotas of the account.
        changes: Compute environments that are CREATING or UPDATING, by name.

    Attributes:
        broken: Reasons by name of compute environments that are INVALID.
        withheld: Batch's status reasons by name of queues that get no instances from EC2.
    """

    def __init__(self, quotas: AccountQuotas, changes: Transitions) -> None:
        self._quotas = quotas
        self._changes = changes
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
            e
            for e in queue.environments
            if e.state == "ENABLED" and self._status(e.name) in ("VALID", "UPDATING")
        ]
        fitting = [environment for environment in usable if _fits(environment, job.needs)]
        large = [e for e in fitting if _max_vcpus(e) >= job.needs.vcpus]
        used = _used_vcpus(jobs)
        free = [e for e in large if used.get(e.name, 0) + job.needs.vcpus <= _max_vcpus(e)]
        if free:
            refusals = [self._quota_refusal(environment, job, used) for environment in free]
            return None if None in refusals else refusals[0]
        if not usable or large:
            return ""
        return _MAX_TOO_LOW if fitting else _NOTHING_FITS

    def _quota_refusal(
        self, environment: ComputeEnvironment, job: Job, used: Mapping[str, int]
    ) -> str | None:
        """Return Batch's status reason if EC2's quota allows no instance for a job, or None.

        For Batch, a quota is one of the reasons for a lack of capacity. The vCPUs of the other jobs
        count, not those of the instances that they run on, which the emulator does not have.
        """
        smallest = _smallest_type(environment, job.needs)
        quota = None if smallest is None else _quota(environment, smallest)
        if smallest is None or quota is None:
            return None
        others = {name: _backend(REGION).get_compute_environment(name) for name in used}
        in_use = sum(used[name] for name, e in others.items() if e and _quota(e) == quota)
        if in_use + smallest.vcpus <= self._quotas.vcpus(quota.code):
            return None
        return _NO_INSTANCE.format(smallest.name)

    def describe(
        self, request: Mapping[str, Any], region: str, jobs: Iterable[Job]
    ) -> dict[str, Any]:
        """Return the response of DescribeComputeEnvironments."""
        names = request.get("computeEnvironments")
        used = _used_vcpus(jobs)
        environments = copy.deepcopy(_backend(region).describe_compute_environments(names))
        for environment in environments:
            name = environment["computeEnvironmentName"]
            environment["status"] = self._status(name)
            if name in self.broken:
                environment["statusReason"] = self.broken[name]
            if name in self._update_policies:
                environment["updatePolicy"] = self._update_policies[name]
            if "computeResources" in environment:
                environment["computeResources"]["desiredvCpus"] = used.get(name, 0)
        return {"computeEnvironments": environments}

    def create(self, request: Mapping[str, Any], region: str) -> None:
        """Begin the creation of a compute environment, which moto continues."""
        name = request.get("computeEnvironmentName", "")
        if _backend(region).get_compute_environment(name) is None:
            self._changes.begin(name, "CREATING")

    def check_valid(self, environments: Iterable[str]) -> None:
        """Check that a queue can have compute environments, given by name or ARN.

        Raises:
            ClientException: One of them is not VALID.
        """
        for environment in environments:
            name = environment.rpartition("/")[2]
            if (status := self._status(name)) != "VALID":
                raise ClientException(
                    f"Compute environment {name} is not VALID, but {status}: it can't be "
                    "associated with a job queue"
                )

    def _status(self, name: str) -> str:
        return "INVALID" if name in self.broken else self._changes.state(name) or "VALID"

    def update(self, request: Mapping[str, Any], region: str) -> dict[str, Any]:
        """Update an environment and return the response; moto would not update its resources.

        Raises:
            ClientException: The environment does not exist, or the state is invalid.
        """
        name = request.get("computeEnvironment", "").rpartition("/")[2]
        environment = _backend(region).get_compute_environment(name)
        if environment is None:
            raise ClientException(f"Compute environment {name} does not exist")
        if self._changes.state(name) is not None:
            raise ClientException("Cannot update, resource is being modified")
        state = request.get("state", environment.state)
        if state not in ("ENABLED", "DISABLED"):
            raise ClientException(f"state {state} must be one of ENABLED | DISABLED")
        environment.state = state
        environment.service_role = request.get("serviceRole", environment.service_role)
        environment.compute_resources.update(request.get("computeResources") or {})
        if "updatePolicy" in request:
            self._update_policies[name] = request["updatePolicy"]
        self._changes.begin(name, "UPDATING")
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
    types = _types_of(environment)
    return None in types or not types or _smallest_type(environment, needs) is not None


def _smallest_type(environment: ComputeEnvironment, needs: Capacity) -> InstanceType | None:
    """Return the smallest known instance type that is large enough, or None."""
    known = (t for t in _types_of(environment) if t is not None)
    return min((t for t in known if _capacity(t).covers(needs)), key=_size, default=None)


def _quota(
    environment: ComputeEnvironment, instance_type: InstanceType | None = None
) -> Quota | None:
    """Return the vCPU quota of an environment: for one of its types, or for the first one."""
    if instance_type is None:
        instance_type = next((t for t in _types_of(environment) if t is not None), None)
    is_spot = (environment.compute_resources or {}).get("type") == "SPOT"
    capacity = "spot" if is_spot else "on-demand"
    return None if instance_type is None else quota_of(instance_type.family, capacity)


def _types_of(environment: ComputeEnvironment) -> Sequence[InstanceType | None]:
    return _types(tuple((environment.compute_resources or {}).get("instanceTypes", ())))


def _size(instance_type: InstanceType) -> tuple[int, str]:
    return instance_type.vcpus, instance_type.name


@lru_cache(maxsize=64)
def _types(entries: Sequence[str]) -> Sequence[InstanceType | None]:
    return list(_iter_types(entries))


def _iter_types(entries: Sequence[str]) -> Iterator[InstanceType | None]:
    catalog = load_catalog()
    for name in expand_families(entries, catalog):
        yield catalog.get(name)


def _capacity(instance_type: InstanceType) -> Capacity:
    return Capacity(instance_type.vcpus, instance_type.usable_memory_mib, instance_type.gpu_count)
