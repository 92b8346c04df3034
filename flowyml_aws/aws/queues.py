"""The job queues of an account with their compute environments, as Batch describes them."""

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

__all__ = ["Environment", "Queue", "names_of", "no_such_queue", "read_queues"]

_BROKEN = ("INVALID", "DELETING", "DELETED")


@dataclass(frozen=True, slots=True)
class Environment:
    """A compute environment.

    Attributes:
        kind: `EC2`, `SPOT`, `FARGATE`, …; empty for an unmanaged one.
        types: Instance types, families, and Batch's words for several of them.
        desired_vcpus: What it has, or is about to have.
        images: The kinds of machine image that it names, such as `ECS_AL2_NVIDIA`.
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

    @property
    def fault(self) -> str | None:
        """Why no job can run in it, in Batch's words; None if they can."""
        if told := _fault(self.state, self.status, self.status_reason):
            return told
        return None if self.kind in ("EC2", "SPOT") else "not on EC2"

    @property
    def capacity(self) -> Literal["on-demand", "spot"]:
        """What it buys."""
        return "spot" if self.kind == "SPOT" else "on-demand"


@dataclass(frozen=True, slots=True)
class Queue:
    """A job queue; its environments stand in the order in which it tries them."""

    name: str
    arn: str
    state: str
    status: str
    status_reason: str
    environments: tuple[Environment, ...]
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def fault(self) -> str | None:
        """What is wrong with the queue itself, in Batch's words; None if nothing is."""
        return _fault(self.state, self.status, self.status_reason)

    @property
    def working(self) -> tuple[Environment, ...]:
        """The environments that jobs can run in."""
        return tuple(one for one in self.environments if one.fault is None)


def read_queues(batch: BatchClient) -> dict[str, Queue]:
    """Every queue of the account, by name.

    Raises:
        AwsRefusedError: AWS denied a call.
    """
    try:
        pages = batch.get_paginator("describe_job_queues").paginate()
        told_queues = [told for page in pages for told in page["jobQueues"]]
        environments = {
            told["computeEnvironmentArn"]: _environment(told)
            for page in batch.get_paginator("describe_compute_environments").paginate()
            for told in page["computeEnvironments"]
        }
    except (ClientError, BotoCoreError) as error:
        raise refused(error, "list the queues and compute environments of the account") from error
    queues = (_queue(told, environments) for told in told_queues)
    return {queue.name: queue for queue in queues}


def no_such_queue(names: Collection[str], found: Collection[str]) -> SettingsError:
    """The error that queues do not exist, with the nearest names of those that do."""
    near = [n for name in names for n in difflib.get_close_matches(name, found, n=1)]
    return SettingsError(
        what=f"{names_of(names)} {'does' if len(names) == 1 else 'do'} not exist",
        why=f"the account's queues are {', '.join(sorted(found)) or '(none)'}",
        fix=f"did you mean {' and '.join(map(repr, near))}?" if near else "correct `queues`",
    )


def names_of(queues: Collection[str]) -> str:
    """One queue or several, to begin a sentence with."""
    return f"{'Queue' if len(queues) == 1 else 'Queues'} {', '.join(map(repr, queues))}"


def _queue(told: Mapping[str, Any], environments: Mapping[str, Environment]) -> Queue:
    ordered = sorted(told["computeEnvironmentOrder"], key=lambda entry: entry["order"])
    arns = [entry["computeEnvironment"] for entry in ordered]
    return Queue(
        name=told["jobQueueName"],
        arn=told["jobQueueArn"],
        state=told.get("state", ""),
        status=told.get("status", ""),
        status_reason=told.get("statusReason", ""),
        environments=tuple(environments[arn] for arn in arns if arn in environments),
        tags=told.get("tags", {}),
    )


def _environment(told: Mapping[str, Any]) -> Environment:
    resources: Mapping[str, Any] = told.get("computeResources", {})
    images: Sequence[Mapping[str, str]] = resources.get("ec2Configuration", ())
    return Environment(
        name=told["computeEnvironmentName"],
        state=told.get("state", ""),
        status=told.get("status", ""),
        status_reason=told.get("statusReason", ""),
        kind=resources.get("type", ""),
        types=tuple(resources.get("instanceTypes", ())),
        max_vcpus=int(resources.get("maxvCpus", 0)),
        desired_vcpus=int(resources.get("desiredvCpus", 0)),
        images=tuple(image["imageType"] for image in images),
        tags=told.get("tags", {}),
    )


def _fault(state: str, status: str, reason: str) -> str | None:
    if state != "ENABLED":
        return state
    if status in _BROKEN:
        return f"{status} ({reason})" if reason else status
    return None
