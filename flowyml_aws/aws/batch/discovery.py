"""Account discovery: queues as targets for the planner, and checks before a run."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.batch.queue_findings import EFA_FIX, NODES_FIX
from flowyml_aws.aws.batch.queues import (
    EFA_TAG,
    Environment,
    Queue,
    names_of,
    no_such_queue,
    read_queues,
)
from flowyml_aws.aws.errors import refused
from flowyml_aws.catalog.disk import RESERVED_GIB, Disk
from flowyml_aws.catalog.families import available_types, expand_families
from flowyml_aws.catalog.types import Catalog
from flowyml_aws.core.errors import AwsRefusedError, FlowymlError, SettingsError
from flowyml_aws.planning.targets import Obstacle, Taint, Target, TypePool, read_taint

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sts import STSClient

__all__ = ["bucket_problem", "credentials_problem", "find_targets"]

_LABEL_TAG = "flowyml-aws:label:"
_TAINT_TAG = "flowyml-aws:taint:"
_DISK_TAG = "flowyml-aws:disk-gib"
_NVME_TAG = "flowyml-aws:nvme"


def credentials_problem(sts: STSClient) -> FlowymlError | None:
    """Return the error that makes the credentials unusable, or None."""
    try:
        sts.get_caller_identity()
    except (ClientError, BotoCoreError) as error:
        return refused(error, "verify the credentials (sts:GetCallerIdentity)")
    return None


def bucket_problem(s3: S3Client, bucket: str) -> FlowymlError | None:
    """Return the error that keeps runs from being stored in a bucket, or None."""
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in ("404", "NoSuchBucket"):
            return SettingsError(
                what=f"Bucket {bucket!r} does not exist",
                why="runs are stored in the bucket that the setting `store` names",
                fix="create it, or correct `store` (FLOWYML_AWS_STORE)",
            )
        if code == "403":
            return AwsRefusedError(
                what=f"Access to bucket {bucket!r} is denied",
                why="it belongs to another account, or your role may not list it",
                fix="request s3:ListBucket, s3:GetObject and s3:PutObject on it",
            )
        return refused(error, f"access bucket {bucket!r}")
    except BotoCoreError as error:
        return refused(error, f"access bucket {bucket!r}")
    return None


def find_targets(
    batch: BatchClient,
    queues: Sequence[str],
    offered: Collection[str] | None,
    catalog: Catalog,
) -> list[Target]:
    """Return the queues as targets, with types, labels and taints of their environments.

    Args:
        batch: Batch client.
        queues: Names of the queues; empty for all queues of the account.
        offered: Instance types that the region offers, or None if unknown.
        catalog: Resolves families such as `g4dn` to types.

    Raises:
        SettingsError: A named queue does not exist or can't take jobs, or no queue can.
        AwsRefusedError: AWS denied the call.
    """
    known = read_queues(batch)
    if unknown := [name for name in queues if name not in known]:
        raise no_such_queue(unknown, known)
    usable: list[Target] = []
    unusable: dict[str, str] = {}
    for name in queues or sorted(known):
        if reason := _unusable_reason(known[name]):
            unusable[name] = reason
        else:
            usable.append(_target(known[name], offered, catalog))
    # Queues that the settings name must all work; otherwise, one that works is enough.
    if unusable and (queues or not usable):
        raise SettingsError(
            what=f"{names_of(unusable)} can't take jobs",
            why="; ".join(f"{name}: {reason}" for name, reason in unusable.items()),
            fix="enable or repair what is listed, or remove it from `queues`",
        )
    if not usable:
        raise SettingsError(
            what="The account has no job queue",
            why="AWS Batch jobs need a queue with a compute environment on EC2",
            fix="set the account up with infra/",
        )
    return usable


def _unusable_reason(queue: Queue) -> str | None:
    """Return why a queue runs no jobs on EC2, or None if it does."""
    if queue.fault is not None:
        return f"it is {queue.fault}"
    if queue.working:
        return None
    faults = [f"{environment.name} is {environment.fault}" for environment in queue.environments]
    if not faults:
        return "it has no compute environment"
    return f"none of its compute environments works: {', '.join(faults)}"


def _target(queue: Queue, offered: Collection[str] | None, catalog: Catalog) -> Target:
    tags = dict(queue.tags)
    max_vcpus: dict[str, int | None] = {}
    pools: list[TypePool] = []
    for environment in queue.working:
        tags.update(environment.tags)
        for name in expand_families(environment.types, catalog):
            max_vcpus[name] = max(max_vcpus.get(name) or 0, environment.max_vcpus)
        pools.append(_pool(environment, offered, catalog))
    types, closed = available_types(max_vcpus, offered, catalog)
    spot = all(environment.capacity == "spot" for environment in queue.working)
    return Target(
        name=queue.name,
        kind="batch",
        instance_types=types,
        labels=dict(_tagged(tags, _LABEL_TAG)),
        taints=tuple(_taint(key, value) for key, value in _tagged(tags, _TAINT_TAG)),
        capacity="spot" if spot else "on-demand",
        closed=closed,
        disk=_disk(queue.name, tags),
        pools=tuple(pools),
        nodes_obstacle=_nodes_obstacle(queue),
        efa_obstacle=_efa_obstacle(queue),
        efa_interfaces=min((_efa_interfaces(each) for each in queue.working), default=0),
        share=queue.share,
    )


def _nodes_obstacle(queue: Queue) -> Obstacle | None:
    return _obstacle({each.name: each.nodes_fault for each in queue.working}, NODES_FIX)


def _efa_obstacle(queue: Queue) -> Obstacle | None:
    faults = {
        each.name: None if _efa_interfaces(each) else f"without the tag {EFA_TAG}"
        for each in queue.working
    }
    return _obstacle(faults, EFA_FIX)


def _obstacle(faults: Mapping[str, str | None], fix: str) -> Obstacle | None:
    """Return the obstacle for jobs on several nodes: Batch may use any environment of the queue.

    Args:
        faults: Fault of each compute environment, or None.
        fix: Fix for all of them.
    """
    name, fault = next(((n, f) for n, f in faults.items() if f is not None), ("", None))
    if fault is None:
        return None
    if set(faults.values()) == {fault}:
        return Obstacle(f"its compute environments are {fault}", fix)
    return Obstacle(f"its compute environment {name!r} is {fault}", fix)


def _efa_interfaces(environment: Environment) -> int:
    """Read the number of Elastic Fabric Adapters of an environment's instances from its tag."""
    text = environment.tags.get(EFA_TAG, "0")
    if not text.isdecimal():
        raise SettingsError(
            what=f"Invalid tag {EFA_TAG} of compute environment {environment.name!r}: {text!r}",
            why="its value is the number of EFA network interfaces in its launch template, such "
            "as 1",
            fix="set it to that number, or remove it",
        )
    return int(text)


def _disk(queue: str, tags: Mapping[str, str]) -> Disk:
    """Read the disk of a queue's instances from its tags.

    `flowyml-aws:disk-gib` is the part of the volume for jobs in GiB. `flowyml-aws:nvme` with the
    value `data-root` says that containers are on local disks where an instance has some.
    """
    local_data_root = tags.get(_NVME_TAG) == "data-root"
    text = tags.get(_DISK_TAG)
    if text is None:
        return Disk(local_data_root=local_data_root, is_assumed=True)
    if not text.isdecimal():
        raise SettingsError(
            what=f"Invalid tag {_DISK_TAG} of queue {queue!r}: {text!r}",
            why="its value is the GiB of an instance's volume that jobs can use, such as 80",
            fix=f"set it to the size of the volume minus {RESERVED_GIB}, or remove it",
        )
    return Disk(int(text), local_data_root)


def _pool(environment: Environment, offered: Collection[str] | None, catalog: Catalog) -> TypePool:
    names = dict.fromkeys(expand_families(environment.types, catalog))
    types, _ = available_types(names, offered, catalog)
    return TypePool(types, environment.max_vcpus, environment.strategy == "BEST_FIT")


def _tagged(tags: Mapping[str, str], prefix: str) -> Iterator[tuple[str, str]]:
    for tag, value in sorted(tags.items()):
        if tag.startswith(prefix):
            yield tag.removeprefix(prefix), value


def _taint(key: str, value: str) -> Taint:
    """Parse a taint from its tag `flowyml-aws:taint:<key>` with the value `[<value>:]<effect>`."""
    taint = read_taint(key, value)
    if taint is None:
        raise SettingsError(
            what=f"Invalid tag {_TAINT_TAG}{key} of a queue or compute environment: {value!r}",
            why="the value of a taint ends with NoSchedule, PreferNoSchedule or NoExecute",
            fix="set the tag to VALUE:NoSchedule, or to NoSchedule",
        )
    return taint
