"""What can be wrong with queues, compute environments and quotas, and how to mend it."""

from __future__ import annotations

from flowyml_aws.aws.queues import Environment, Queue
from flowyml_aws.aws.quotas import Quota
from flowyml_aws.core.findings import Finding, Level

__all__ = [
    "QUOTA_PAGE",
    "environment_fault",
    "in_batchs_words",
    "no_environment",
    "no_gpu_image",
    "queue_fault",
    "quota_too_low",
]

QUOTA_PAGE = "https://console.aws.amazon.com/servicequotas/home/services/ec2/quotas"

_TROUBLESHOOTING = "https://docs.aws.amazon.com/batch/latest/userguide/troubleshooting.html"
# What stands in Batch's reason, the kind of finding, and what to do.
_REASONS: tuple[tuple[str, str, Level, str], ...] = (
    (
        "INSUFFICIENT_INSTANCE_CAPACITY",
        "no-capacity",
        "warning",
        "wait, or let the job have more instance types or another queue: EC2 has none of these "
        "free in the zones of the compute environment's subnets",
    ),
    (
        "COMPUTE_ENVIRONMENT_MAX_RESOURCE",
        "max-vcpus-too-low",
        "error",
        "raise maxvCpus of the queue's compute environments, or ask for fewer vCPUs",
    ),
    (
        "JOB_RESOURCE_REQUIREMENT",
        "no-type-fits",
        "error",
        "ask for less memory, fewer vCPUs or GPUs, or give the queue larger instance types",
    ),
    (
        "SERVICE_ROLE_PERMISSIONS",
        "service-role-denied",
        "error",
        "give the compute environment's service role the policy AWSBatchServiceRole, or leave "
        "it out so that Batch uses its service-linked role",
    ),
)


def queue_fault(queue: Queue) -> Finding:
    """A queue that is disabled or broken."""
    if queue.state != "ENABLED":
        return Finding(
            "queue-disabled",
            "error",
            f"Queue {queue.name!r} is {queue.state}",
            "a queue that is not enabled takes no jobs; whether those in it start is not certain",
            f"aws batch update-job-queue --job-queue {queue.name} --state ENABLED",
        )
    return Finding(
        "queue-invalid",
        "error",
        f"Queue {queue.name!r} is {queue.status}",
        queue.status_reason or "AWS Batch gives no reason",
        "repair what is named, or create the queue anew with infra/",
    )


def environment_fault(queue: Queue, one: Environment) -> Finding:
    """A compute environment of a queue that runs no jobs: an error where the queue has no other."""
    what = f"Compute environment {one.name!r} of queue {queue.name!r} is {one.fault}"
    level: Level = "warning" if queue.working else "error"
    if one.state != "ENABLED":
        return Finding(
            "environment-disabled",
            level,
            what,
            "a compute environment that is not enabled starts no instances",
            "aws batch update-compute-environment --state ENABLED "
            f"--compute-environment {one.name}",
        )
    if one.kind not in ("EC2", "SPOT"):
        return Finding(
            "environment-not-ec2",
            level,
            what,
            f"it is {one.kind or 'unmanaged'}, and jobs of flowyml-aws are made for EC2",
            "give the queue a managed compute environment of type EC2 or SPOT",
        )
    return Finding(
        "environment-invalid",
        level,
        f"Compute environment {one.name!r} of queue {queue.name!r} is {one.status}",
        one.status_reason or "AWS Batch gives no reason",
        "repair what is named (roles, subnets, the launch template), then disable and enable "
        "the compute environment",
    )


def no_environment(queue: Queue) -> Finding:
    """A queue without compute environments."""
    return Finding(
        "queue-empty",
        "error",
        f"Queue {queue.name!r} has no compute environment",
        "there is nothing that its jobs could run in",
        "connect one with `aws batch update-job-queue`, or set the account up with infra/",
    )


def no_gpu_image(one: Environment) -> Finding | None:
    """A compute environment with GPUs whose machine image has no driver for them, or None."""
    if not one.images or any("NVIDIA" in image for image in one.images):
        return None  # where it names none, Batch takes the right one for each family
    return Finding(
        "no-gpu-image",
        "warning",
        f"Compute environment {one.name!r} starts its instances with {', '.join(one.images)}",
        "that image has no GPU driver: ECS sees no GPUs, and jobs with GPUs stay queued",
        "set imageType ECS_AL2023_NVIDIA in its ec2Configuration",
    )


def quota_too_low(quota: Quota, limit: int, name: str, vcpus: int) -> Finding:
    """A quota that admits not even one instance of a type."""
    return Finding(
        "quota-too-low",
        "error",
        f"The account's quota {quota.name!r} is {limit} vCPUs",
        f"{name} has {vcpus}: EC2 starts none",
        f"ask AWS for at least {vcpus}: {QUOTA_PAGE}/{quota.code}",
    )


def in_batchs_words(said: str) -> Finding:
    """Batch's own reason for a job that waits, with what to do."""
    what = "AWS Batch says why it waits"
    for marker, code, level, fix in _REASONS:
        if marker in said:
            return Finding(code, level, what, said, fix)
    return Finding("batch-says", "warning", what, said, _TROUBLESHOOTING)
