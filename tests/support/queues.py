"""Batch queues of an emulated account, in addition to those that it starts with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["keep_first_environment", "make_queue"]


def make_queue(
    batch: Any, name: str, *groups: Sequence[str], policy: str | None = None, **resources: Any
) -> str:
    """Create a queue with a compute environment for each group of instance types.

    Args:
        batch: Batch client of the account.
        name: Name of the queue; its environments are `NAME-1`, `NAME-2`, …
        groups: Instance types or families of each environment, in order.
        policy: ARN of its scheduling policy; None for a queue that is first in, first out.
        resources: More compute resources of each environment.
    """
    (template,) = batch.describe_compute_environments(computeEnvironments=["flowyml-emulator-cpu"])[
        "computeEnvironments"
    ]
    network = {
        key: template["computeResources"][key]
        for key in ("instanceRole", "subnets", "securityGroupIds")
    }
    orders = []
    for number, types in enumerate(groups, 1):
        environment = batch.create_compute_environment(
            computeEnvironmentName=f"{name}-{number}",
            type="MANAGED",
            computeResources={
                "type": "EC2",
                "allocationStrategy": "BEST_FIT_PROGRESSIVE",
                "minvCpus": 0,
                "maxvCpus": 16,
                "instanceTypes": list(types),
                **network,
                **resources,
            },
        )["computeEnvironmentArn"]
        orders.append({"order": number, "computeEnvironment": environment})
    batch.create_job_queue(
        jobQueueName=name,
        state="ENABLED",
        priority=1,
        computeEnvironmentOrder=orders,
        **({} if policy is None else {"schedulingPolicyArn": policy}),
    )
    return name


def keep_first_environment(batch: Any, queue: str) -> None:
    """Detach all compute environments of a queue except the first, which has the same name."""
    (described,) = batch.describe_job_queues(jobQueues=[queue])["jobQueues"]
    first = [entry for entry in described["computeEnvironmentOrder"] if int(entry["order"]) == 1]
    batch.update_job_queue(jobQueue=queue, computeEnvironmentOrder=first)
