"""Job queues of an account with their compute environments, as Batch describes them."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.errors import refused
from flowyml_aws.core.errors import SettingsError

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient

__all__ = [
    "EFA_TAG",
    "NODES_TAG",
    "Environment",
    "Queue",
    "names_of",
    "no_such_queue",
    "read_queues",
    "share_of",
]

NODES_TAG = "flowyml-aws-nodes"
"""Tag, with the value `true`, of compute environments whose private subnets have a way out.

Batch connects nodes by `awsvpc` interfaces, which get no public address.
"""
EFA_TAG = "flowyml-aws-efa"
"""Tag of compute environments with the number of Elastic Fabric Adapters of each instance."""

_SHARE = "flowyml"  # of all jobs: priorities are compared within one share identifier only

_BROKEN = ("INVALID", "DELETING", "DELETED")


@dataclass(frozen=True, slots=True)
class Environment:
    """A compute environment.

    Attributes:
        kind: `EC2`, `SPOT`, `FARGATE`, …; empty if it is unmanaged.
        types: Instance types, families, and Batch's names for several families (`optimal`).
        desired_vcpus: vCPUs that it has or is about to have.
        strategy: Allocation strategy, which chooses the instance types.
        images: Machine image types, such as `ECS_AL2_NVIDIA`.
    """

    name: str
    state: str
    status: str
    status_reason: str
    kind: str
    types: tuple[str, ...]
    max_vcpus: int
    desired_vcpus: int
    images: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)
    strategy: str = "BEST_FIT"  # AWS's default

    @property
    def fault(self) -> str | None:
        """Reason that no job can run in it, in Batch's words; None if jobs can run."""
        if fault := _fault(self.state, self.status, self.status_reason):
            return fault
        return None if self.kind in ("EC2", "SPOT") else "not on EC2"

    @property
    def nodes_fault(self) -> str | None:
        """Reason that no job on several nodes can run in a working one; None if such jobs can.

        Sources: "Compute environment considerations for multi-node parallel jobs" in the user guide
        of AWS Batch, and https://github.com/aws/aws-parallelcluster/issues/2098 for spot.
        """
        if self.kind == "SPOT":
            return "on spot capacity"
        return None if self.tags.get(NODES_TAG) == "true" else f"without the tag {NODES_TAG}=true"

    @property
    def capacity(self) -> Literal["on-demand", "spot"]:
        """Capacity type of its instances."""
        return "spot" if self.kind == "SPOT" else "on-demand"


@dataclass(frozen=True, slots=True)
class Queue:
    """A job queue, with its environments in the order in which it tries them.

    Attributes:
        share: Share identifier of its jobs, if it has a fair-share scheduling policy, or None.
    """

    name: str
    arn: str
    state: str
    status: str
    status_reason: str
    environments: tuple[Environment, ...]
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)
    share: str | None = None

    @property
    def fault(self) -> str | None:
        """Fault of the queue itself, in Batch's words; None if it has none."""
        if self.status == "CREATING":
            return self.status
        return _fault(self.state, self.status, self.status_reason)

    @property
    def working(self) -> tuple[Environment, ...]:
        """Environments that jobs can run in."""
        return tuple(environment for environment in self.environments if environment.fault is None)


def read_queues(batch: BatchClient) -> dict[str, Queue]:
    """Return all queues of the account by name.

    Raises:
        AwsRefusedError: AWS denied a call.
    """
    try:
        pages = batch.get_paginator("describe_job_queues").paginate()
        descriptions = [description for page in pages for description in page["jobQueues"]]
        environments = {
            description["computeEnvironmentArn"]: _environment(description)
            for page in batch.get_paginator("describe_compute_environments").paginate()
            for description in page["computeEnvironments"]
        }
    except (ClientError, BotoCoreError) as error:
        raise refused(error, "list the queues and compute environments of the account") from error
    queues = (_queue(description, environments) for description in descriptions)
    return {queue.name: queue for queue in queues}


def no_such_queue(names: Collection[str], existing: Collection[str]) -> SettingsError:
    """Return the error for queues that do not exist, with similar names of those that do."""
    similar = [n for name in names for n in difflib.get_close_matches(name, existing, n=1)]
    return SettingsError(
        what=f"{names_of(names)} {'does' if len(names) == 1 else 'do'} not exist",
        why=f"the account's queues are {', '.join(sorted(existing)) or '(none)'}",
        fix=f"did you mean {' and '.join(map(repr, similar))}?" if similar else "correct `queues`",
    )


def names_of(queues: Collection[str]) -> str:
    """Return the names of queues as the beginning of a sentence."""
    return f"{'Queue' if len(queues) == 1 else 'Queues'} {', '.join(map(repr, queues))}"


def share_of(queue: Mapping[str, Any]) -> str | None:
    """Return the share identifier of the jobs of a queue; None without a fair-share policy.

    Batch requires it there, and refuses it elsewhere.

    Args:
        queue: Description of the queue by DescribeJobQueues.
    """
    return _SHARE if queue.get("schedulingPolicyArn") else None


def _queue(description: Mapping[str, Any], environments: Mapping[str, Environment]) -> Queue:
    ordered = sorted(description["computeEnvironmentOrder"], key=lambda entry: entry["order"])
    arns = [entry["computeEnvironment"] for entry in ordered]
    return Queue(
        name=description["jobQueueName"],
        arn=description["jobQueueArn"],
        state=description.get("state", ""),
        status=description.get("status", ""),
        status_reason=description.get("statusReason", ""),
        environments=tuple(environments[arn] for arn in arns if arn in environments),
        tags=description.get("tags", {}),
        share=share_of(description),
    )


def _environment(description: Mapping[str, Any]) -> Environment:
    resources: Mapping[str, Any] = description.get("computeResources", {})
    images: Sequence[Mapping[str, str]] = resources.get("ec2Configuration", ())
    return Environment(
        name=description["computeEnvironmentName"],
        state=description.get("state", ""),
        status=description.get("status", ""),
        status_reason=description.get("statusReason", ""),
        kind=resources.get("type", ""),
        types=tuple(resources.get("instanceTypes", ())),
        max_vcpus=int(resources.get("maxvCpus", 0)),
        desired_vcpus=int(resources.get("desiredvCpus", 0)),
        images=tuple(image["imageType"] for image in images),
        tags=description.get("tags", {}),
        strategy=resources.get("allocationStrategy") or "BEST_FIT",
    )


def _fault(state: str, status: str, reason: str) -> str | None:
    if state != "ENABLED":
        return state
    if status in _BROKEN:
        return f"{status} ({reason})" if reason else status
    return None
