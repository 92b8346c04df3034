"""The emulated queues and compute environments: what keeps a job in RUNNABLE, and who is first.

moto keeps them, and knows neither broken ones nor the limits of their vCPUs.
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
from flowyml_aws.planning.families import expanded
from flowyml_aws.testing.account import REGION
from flowyml_aws.testing.capacity import Capacity
from flowyml_aws.testing.jobs import Job, Status
from flowyml_aws.testing.validation import ClientException

__all__ = ["Queues", "snapshot"]

_FRONT = 100
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
        broken: Names of compute environments that are INVALID, with the reason.
        withheld: Names of queues that EC2 gives no instances now, with what Batch says.
    """

    def __init__(self) -> None:
        self.broken: dict[str, str] = {}
        self.withheld: dict[str, str] = {}
        self._update_policies: dict[str, Any] = {}

    def held(self, job: Job, jobs: Iterable[Job]) -> str | None:
        """Why a job can't start, in Batch's words (empty where it says nothing), or None.

        Args:
            job: Is RUNNABLE.
            jobs: All.
        """
        if job.queue_name in self.withheld:
            return self.withheld[job.queue_name]
        queue = _backend(REGION).get_job_queue(job.queue_arn)
        assert queue is not None  # one with jobs can't be deleted
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
        """The answer to DescribeComputeEnvironments."""
        wanted = request.get("computeEnvironments")
        used = _used_vcpus(jobs)
        told = copy.deepcopy(_backend(region).describe_compute_environments(wanted))
        for one in told:
            name = one["computeEnvironmentName"]
            if name in self.broken:
                one.update(status="INVALID", statusReason=self.broken[name])
            if name in self._update_policies:
                one["updatePolicy"] = self._update_policies[name]
            if "computeResources" in one:
                one["computeResources"]["desiredvCpus"] = used.get(name, 0)
        return {"computeEnvironments": told}

    def update(self, request: Mapping[str, Any], region: str) -> dict[str, Any]:
        """The answer to UpdateComputeEnvironment; moto leaves the resources as they were.

        Raises:
            ClientException: There is no such one, or the state is none.
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
    """The answer to GetJobQueueSnapshot: the first jobs that wait in a queue, in order."""
    front = [j for j in jobs if j.queue_arn == queue_arn and j.status is Status.RUNNABLE]
    entries = [
        {"jobArn": job.arn, "earliestTimeAtPosition": job.created_ms} for job in front[:_FRONT]
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
            place = job.compute_environment
            used[place] = used.get(place, 0) + job.needs.vcpus
    return used


def _fits(environment: ComputeEnvironment, needs: Capacity) -> bool:
    """Whether one of its types is large enough; one that nobody knows may be."""
    words = tuple((environment.compute_resources or {}).get("instanceTypes", ()))
    types = _types(words)
    known = [one for one in types if one is not None]
    return len(known) < len(types) or not types or any(_gives(t).covers(needs) for t in known)


@lru_cache(maxsize=64)
def _types(words: Sequence[str]) -> Sequence[InstanceType | None]:
    return list(_read_types(words))


def _read_types(words: Sequence[str]) -> Iterator[InstanceType | None]:
    catalog = load_catalog()
    for name in expanded(words, catalog):
        yield catalog.get(name)


def _gives(one: InstanceType) -> Capacity:
    return Capacity(one.vcpus, one.usable_memory_mib, one.gpu_count)
