"""What can be wrong with queues, compute environments and quotas, and how to mend it."""

from __future__ import annotations

from flowyml_aws.aws.queues import Environment, Queue
from flowyml_aws.aws.quotas import Quota
from flowyml_aws.core.findings import Finding, Level

__all__ = [
    "QUOTA_PAGE",
    "environment_fault",
    "no_environment",
    "queue_fault",
    "quota_too_low",
]

QUOTA_PAGE = "https://console.aws.amazon.com/servicequotas/home/services/ec2/quotas"


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


def quota_too_low(quota: Quota, limit: int, name: str, vcpus: int) -> Finding:
    """A quota that admits not even one instance of a type."""
    return Finding(
        "quota-too-low",
        "error",
        f"The account's quota {quota.name!r} is {limit} vCPUs",
        f"{name} has {vcpus}: EC2 starts none",
        f"ask AWS for at least {vcpus}: {QUOTA_PAGE}/{quota.code}",
    )
