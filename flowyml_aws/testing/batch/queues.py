"""The emulated queues and compute environments: reasons that hold jobs in RUNNABLE, and job order.

moto stores them, but knows no invalid environments, no vCPU limits and no instances.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from moto.batch.models import BatchBackend, ComputeEnvironment, JobQueue, batch_backends
from moto.core.exceptions import ServiceException
from moto.core.models import DEFAULT_ACCOUNT_ID

from flowyml_aws.testing.account import REGION
from flowyml_aws.testing.batch.fleet import Fleet, Instance
from flowyml_aws.testing.batch.instance_choice import Pool
from flowyml_aws.testing.batch.interfaces import has_own_groups, missing_device
from flowyml_aws.testing.batch.jobs import Job, Status
from flowyml_aws.testing.batch.pools import pool_of
from flowyml_aws.testing.batch.subnets import lack_of_way_out
from flowyml_aws.testing.batch.validation import ClientException
from flowyml_aws.testing.capacity import Capacity
from flowyml_aws.testing.consistency import Transitions
from flowyml_aws.testing.machines.launch_templates import blocked_user, launch_template

__all__ = ["Queues", "snapshot"]

_MAX_FRONT_JOBS = 100
# https://docs.aws.amazon.com/batch/latest/userguide/troubleshooting.html#job_stuck_in_runnable
_NOTHING_FITS = (
    "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement (vCPU/memory/GPU) "
    "is higher than that can be met by the CE(s) attached to the job queue."
)
_MAX_TOO_LOW = (
    "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE - CE(s) associated with the job queue "
    "cannot meet the CPU requirement of the job."
)
# For Batch, one of EC2's quotas is a reason for a lack of capacity like others.
_NO_INSTANCE = (
    "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - Service cannot fulfill the capacity requested for "
    "instance type [{}]"
)


class Queues:
    """Queues and compute environments as clients and the scheduler see them.

    Args:
        fleet: Instances of the compute environments.
        changes: Compute environments that are CREATING or UPDATING, by name.

    Attributes:
        broken: Reasons by name of compute environments that are INVALID.
        withheld: Batch's status reasons by name of queues that get no instances from EC2.
    """

    def __init__(self, fleet: Fleet, changes: Transitions) -> None:
        self._fleet = fleet
        self._changes = changes
        self.broken: dict[str, str] = {}
        self.withheld: dict[str, str] = {}
        self._update_policies: dict[str, Any] = {}

    def hold_reason(self, job: Job) -> str | None:
        """Return Batch's status reason if a job can't start, otherwise None.

        The reason is empty if Batch reports none.

        Args:
            job: Job in RUNNABLE.
        """
        if job.queue_name in self.withheld:
            return self.withheld[job.queue_name]
        usable = self._usable(job)
        fitting = [(name, pool) for name, pool in usable if _fits(pool, job.needs)]
        vcpus = job.needs.vcpus * job.machines
        large = [(name, pool) for name, pool in fitting if pool.max_vcpus >= vcpus]
        if any(self._has_room(job, name, pool) for name, pool in large):
            return None
        for name, pool in large:
            offer = self._fleet.refused_by_quota(name, pool, job.needs, job.machines)
            if offer is not None:
                return _NO_INSTANCE.format(offer.instance_type)
        if not usable or large:
            return ""
        return _MAX_TOO_LOW if fitting else _NOTHING_FITS

    def place(self, job: Job, waiting: Sequence[Job]) -> Instance:
        """Return the instance of a job that nothing holds: a running one, or one that it starts.

        The environments of a queue are tried in their order (AWS Batch API reference,
        computeEnvironmentOrder).

        Args:
            job: Job in RUNNABLE for which `hold_reason` is None.
            waiting: Next jobs of its queue.
        """
        name, pool = self._with_room(job)
        needs = [job.needs, *(other.needs for other in waiting)]
        return self._fleet.place(name, pool, needs)

    def place_nodes(self, job: Job) -> list[Instance]:
        """Return the instances of the nodes of a job that nothing holds."""
        name, pool = self._with_room(job)
        return self._fleet.place_nodes(name, pool, job.needs, job.machines)

    def release(self, job: Job, instance: Instance) -> None:
        """Return the capacity of a job that has ended to its instance; of a node, all of it."""
        used = job.needs if job.group is None else instance.offer.capacity
        self._fleet.release(instance, used)

    def lose(self, instance: Instance) -> None:
        """Remove an instance that is lost: no other job starts on it."""
        self._fleet.remove(instance)

    def lack_of_way_out(self, queue: JobQueue) -> str | None:
        """Return why nodes on a queue can't reach AWS, or None if they can."""
        reasons = (
            (environment.name, lack_of_way_out(environment.compute_resources or {}, REGION))
            for environment in queue.environments
            if _runs_nodes(environment)
        )
        return next((f"{name}: {reason}" for name, reason in reasons if reason is not None), None)

    def _with_room(self, job: Job) -> tuple[str, Pool]:
        """Return the first environment that has room for a job that nothing holds."""
        vcpus = job.needs.vcpus * job.machines
        return next(
            (name, pool)
            for name, pool in self._usable(job)
            if pool.max_vcpus >= vcpus and self._has_room(job, name, pool)
        )

    def _has_room(self, job: Job, environment: str, pool: Pool) -> bool:
        if job.nodes is None:
            return self._fleet.has_room(environment, pool, job.needs)
        return self._fleet.has_room_for_nodes(environment, pool, job.needs, job.machines)

    def _usable(self, job: Job) -> list[tuple[str, Pool]]:
        """Return the environments that can start instances for a job's queue, in order.

        Nodes start in managed environments on demand only: elsewhere, their job stays RUNNABLE
        without a reason, as users report for spot (aws-parallelcluster issue 2098).
        """
        backend = _backend(REGION)
        queue = backend.get_job_queue(job.queue_arn)
        assert queue is not None  # a queue with jobs can't be deleted
        tags = backend.list_tags_for_resource(queue.arn)
        local_data_root = tags.get("flowyml-aws:nvme") == "data-root"
        enabled = [
            e
            for e in queue.environments
            if e.state == "ENABLED" and self._status(e.name) in ("VALID", "UPDATING")
            if job.nodes is None or _runs_nodes(e)
        ]
        pools = [(e.name, pool_of(e, REGION, local_data_root)) for e in enabled]
        return [(name, pool) for name, pool in pools if pool is not None]

    def blocked_user(self, environment: str) -> int | None:
        """Return the user that instances of an environment keep from their metadata, or None."""
        found = _backend(REGION).get_compute_environment(environment)
        if found is None:
            return None
        try:
            return blocked_user(launch_template(found.compute_resources or {}, REGION))
        except ServiceException:  # the launch template was deleted
            return None

    def missing_device(self, environment: str, container: Mapping[str, Any]) -> str | None:
        """Return ECS's reason if instances of an environment lack a container's device, or None."""
        found = _backend(REGION).get_compute_environment(environment)
        if found is None:
            return None
        try:
            return missing_device(container, found.compute_resources or {}, REGION)
        except ServiceException:  # the launch template was deleted
            return None

    def describe(self, request: Mapping[str, Any], region: str) -> dict[str, Any]:
        """Return the response of DescribeComputeEnvironments."""
        names = request.get("computeEnvironments")
        environments = copy.deepcopy(_backend(region).describe_compute_environments(names))
        for environment in environments:
            name = environment["computeEnvironmentName"]
            environment["status"] = self._status(name)
            if name in self.broken:
                environment["statusReason"] = self.broken[name]
            if name in self._update_policies:
                environment["updatePolicy"] = self._update_policies[name]
            if "computeResources" in environment:
                resources = environment["computeResources"]
                resources["desiredvCpus"] = self._fleet.vcpus(name)
                if has_own_groups(resources, region):
                    resources.pop("securityGroupIds", None)  # only moto needs them
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


def _runs_nodes(environment: ComputeEnvironment) -> bool:
    """Return whether multi-node jobs are supported: "Compute environment considerations"."""
    resources = environment.compute_resources or {}
    return environment.env_type == "MANAGED" and resources.get("type") == "EC2"


def _fits(pool: Pool, needs: Capacity) -> bool:
    """Return True if an instance type is large enough; types not in the catalog may be."""
    return any(offer.capacity.covers(needs) for offer in pool.offers)
