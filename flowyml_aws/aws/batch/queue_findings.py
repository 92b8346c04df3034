"""Findings about queues, compute environments and quotas, each with its fix."""

from __future__ import annotations

from flowyml_aws.aws.batch.queues import EFA_TAG, NODES_TAG, Environment, Queue
from flowyml_aws.aws.ec2.quotas import Quota
from flowyml_aws.aws.quota_requests import quota_request
from flowyml_aws.catalog.families import expand_families
from flowyml_aws.catalog.types import Catalog
from flowyml_aws.core.findings import Finding, Level

__all__ = [
    "EFA_FIX",
    "NODES_FIX",
    "batch_reason",
    "environment_fault",
    "families_named",
    "no_environment",
    "no_gpu_image",
    "no_nodes",
    "queue_fault",
    "quota_too_low",
    "types_without_efa",
]

NODES_FIX = (
    "use a queue on demand whose nodes have a way out: apply infra/ with `nodes` in the `capacity` "
    f"of a family, or set the tag {NODES_TAG}=true of an own compute environment with private "
    "subnets and a NAT gateway or VPC endpoints (AWS gives nodes no public address)"
)
"""Fix for a queue that can't run jobs on several nodes."""

EFA_FIX = (
    "apply infra/ with `efa = 1` and `nodes` in the `capacity` of a family, or set the tag "
    f"{EFA_TAG}=1 of an own compute environment whose launch template has a network interface of "
    "the type efa"
)
"""Fix for a queue whose nodes have no Elastic Fabric Adapter."""

_MAX_NAMES = 3
_TROUBLESHOOTING = "https://docs.aws.amazon.com/batch/latest/userguide/troubleshooting.html"
# Marker in Batch's status reason; code, level and fix of the finding.
_REASONS: tuple[tuple[str, str, Level, str], ...] = (
    (
        "INSUFFICIENT_INSTANCE_CAPACITY",
        "no-capacity",
        "warning",
        "wait, or allow more instance types or another queue: EC2 has no free capacity of these "
        "types in the zones of the compute environment's subnets",
    ),
    (
        "COMPUTE_ENVIRONMENT_MAX_RESOURCE",
        "max-vcpus-too-low",
        "error",
        "raise maxvCpus of the queue's compute environments, or request fewer vCPUs",
    ),
    (
        "JOB_RESOURCE_REQUIREMENT",
        "no-type-fits",
        "error",
        "request less memory, fewer vCPUs or GPUs, or add larger instance types to the queue",
    ),
    (
        "SERVICE_ROLE_PERMISSIONS",
        "service-role-denied",
        "error",
        "attach the policy AWSBatchServiceRole to the compute environment's service role, or "
        "remove the role so that Batch uses its service-linked role",
    ),
)


def queue_fault(queue: Queue) -> Finding:
    """Return the finding that a queue is disabled or broken."""
    if queue.state != "ENABLED":
        return Finding(
            "queue-disabled",
            "error",
            f"Queue {queue.name!r} is {queue.state}",
            "a queue that is not enabled accepts no jobs, and the jobs in it may not start",
            f"aws batch update-job-queue --job-queue {queue.name} --state ENABLED",
        )
    if queue.status == "CREATING":
        return Finding(
            "queue-creating",
            "error",
            f"Queue {queue.name!r} is CREATING",
            "it accepts no jobs until it is VALID",
            "try again in a minute",
        )
    return Finding(
        "queue-invalid",
        "error",
        f"Queue {queue.name!r} is {queue.status}",
        queue.status_reason or "AWS Batch gives no reason",
        "fix what the reason names, or create the queue again with infra/",
    )


def environment_fault(queue: Queue, environment: Environment) -> Finding:
    """Return the finding that a compute environment runs no jobs: an error if no other works."""
    what = (
        f"Compute environment {environment.name!r} of queue {queue.name!r} is {environment.fault}"
    )
    level: Level = "warning" if queue.working else "error"
    if environment.state != "ENABLED":
        return Finding(
            "environment-disabled",
            level,
            what,
            "a compute environment that is not enabled starts no instances",
            "aws batch update-compute-environment --state ENABLED "
            f"--compute-environment {environment.name}",
        )
    if environment.kind not in ("EC2", "SPOT"):
        return Finding(
            "environment-not-ec2",
            level,
            what,
            f"it is {environment.kind or 'unmanaged'}, but flowyml-aws jobs require EC2",
            "give the queue a managed compute environment of type EC2 or SPOT",
        )
    return Finding(
        "environment-invalid",
        level,
        f"Compute environment {environment.name!r} of queue {queue.name!r} is {environment.status}",
        environment.status_reason or "AWS Batch gives no reason",
        "fix what the reason names (roles, subnets, the launch template), then disable and enable "
        "the compute environment",
    )


def no_environment(queue: Queue) -> Finding:
    """Return the finding that a queue has no compute environment."""
    return Finding(
        "queue-empty",
        "error",
        f"Queue {queue.name!r} has no compute environment",
        "its jobs have nowhere to run",
        "attach one with `aws batch update-job-queue`, or set the account up with infra/",
    )


def families_named(environment: Environment) -> Finding | None:
    """Return the finding that Batch may start large types of families, or None."""
    families = [name for name in environment.types if "." not in name]
    if not families or environment.strategy == "BEST_FIT":
        return None
    return Finding(
        "families-named",
        "note",
        f"Compute environment {environment.name!r} names families: {', '.join(families)}",
        f"{environment.strategy} prefers types with a low price per vCPU, which are large: jobs "
        "may start on more expensive types than the planned ones",
        "list sizes instead, such as g4dn.xlarge",
    )


def no_nodes(environment: Environment) -> Finding:
    """Return the finding that a compute environment runs no jobs on several nodes."""
    return Finding(
        "no-nodes",
        "error",
        f"Compute environment {environment.name!r} is {environment.nodes_fault}",
        "jobs on several nodes need capacity on demand and private subnets with a way out",
        NODES_FIX,
    )


def no_gpu_image(environment: Environment) -> Finding | None:
    """Return the finding that the image of a GPU compute environment has no driver, or None."""
    if not environment.images or any("NVIDIA" in image for image in environment.images):
        return None  # without a name, Batch selects the right image for each family
    return Finding(
        "no-gpu-image",
        "warning",
        f"Compute environment {environment.name!r} uses image type {', '.join(environment.images)}",
        "this image has no GPU driver: ECS sees no GPUs, and GPU jobs stay queued",
        "set imageType ECS_AL2023_NVIDIA in its ec2Configuration",
    )


def types_without_efa(environment: Environment, catalog: Catalog) -> Finding | None:
    """Return the finding that an environment with EFA names types that have none, or None."""
    if EFA_TAG not in environment.tags:
        return None
    types = map(catalog.get, expand_families(environment.types, catalog))
    names = [each.name for each in types if each is not None and not each.efa]
    if not names:
        return None
    listed = ", ".join(names[:_MAX_NAMES]) + (", …" if len(names) > _MAX_NAMES else "")
    return Finding(
        "types-without-efa",
        "error",
        f"Compute environment {environment.name!r} has the tag {EFA_TAG}, and names {listed}",
        "these types have no Elastic Fabric Adapter, so EC2 can't start them from a launch "
        "template with a network interface for one",
        "list only types with EFA: flowyml-aws instances --nodes 2",
    )


def quota_too_low(quota: Quota, limit: int, machines: str, vcpus: int, region: str) -> Finding:
    """Return the finding that a quota does not allow the machines of a single job.

    Args:
        quota: The quota.
        limit: Its value in vCPUs.
        machines: Instance type, with the number of instances if there are several.
        vcpus: vCPUs of the machines.
        region: AWS region of the account.
    """
    return Finding(
        "quota-too-low",
        "error",
        f"The account's quota {quota.name!r} is {limit} vCPUs",
        f"{machines} has {vcpus} vCPUs, so EC2 can't start it",
        f"request at least {vcpus}: {quota_request('ec2', quota.code, vcpus, region)}",
    )


def batch_reason(status_reason: str) -> Finding:
    """Return Batch's own reason for a waiting job as a finding, with a fix."""
    what = "AWS Batch reports why the job waits"
    for marker, code, level, fix in _REASONS:
        if marker in status_reason:
            return Finding(code, level, what, status_reason, fix)
    return Finding("batch-says", "warning", what, status_reason, _TROUBLESHOOTING)
