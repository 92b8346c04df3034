"""What an account offers: queues as targets of the planner, and checks before a run."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.errors import refused
from flowyml_aws.aws.queues import Queue, names_of, no_such_queue, read_queues
from flowyml_aws.core.errors import AwsRefusedError, FlowymlError, SettingsError
from flowyml_aws.planning.catalog import Catalog
from flowyml_aws.planning.families import expanded, given
from flowyml_aws.planning.targets import Taint, Target, read_taint

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sts import STSClient

__all__ = ["bucket_problem", "credentials_problem", "find_targets"]

_LABEL_TAG = "flowyml-aws:label:"
_TAINT_TAG = "flowyml-aws:taint:"


def credentials_problem(sts: STSClient) -> FlowymlError | None:
    """Why these credentials can't be used, or None."""
    try:
        sts.get_caller_identity()
    except (ClientError, BotoCoreError) as error:
        return refused(error, "find out who you are (sts:GetCallerIdentity)")
    return None


def bucket_problem(s3: S3Client, bucket: str) -> FlowymlError | None:
    """Why runs can't be stored in a bucket, or None."""
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
                what=f"Bucket {bucket!r} is denied",
                why="it belongs to another account, or your role may not list it",
                fix="ask for s3:ListBucket, s3:GetObject and s3:PutObject on it",
            )
        return refused(error, f"look at bucket {bucket!r}")
    except BotoCoreError as error:
        return refused(error, f"look at bucket {bucket!r}")
    return None


def find_targets(
    batch: BatchClient,
    queues: Sequence[str],
    offered: Collection[str] | None,
    catalog: Catalog,
) -> list[Target]:
    """The queues as targets: each with the instance types, labels and taints of its environments.

    Args:
        batch: Client.
        queues: Names; empty for every queue of the account.
        offered: Instance types that the region offers; None where nobody could ask.
        catalog: Resolves families such as `g4dn` to types.

    Raises:
        SettingsError: A queue does not exist or can't take jobs, or the account has none that can.
        AwsRefusedError: AWS denied the call.
    """
    found = read_queues(batch)
    if unknown := [name for name in queues if name not in found]:
        raise no_such_queue(unknown, found)
    usable: list[Target] = []
    idle: dict[str, str] = {}
    for name in queues or sorted(found):
        if why := _why_idle(found[name]):
            idle[name] = why
        else:
            usable.append(_target(found[name], offered, catalog))
    # Of queues that were found and not named, those that work are enough.
    if idle and (queues or not usable):
        raise SettingsError(
            what=f"{names_of(idle)} can't take jobs",
            why="; ".join(f"{name}: {why}" for name, why in idle.items()),
            fix="enable or repair what is named, or take it out of `queues`",
        )
    if not usable:
        raise SettingsError(
            what="The account has no job queue",
            why="jobs on AWS Batch go to a queue with a compute environment on EC2",
            fix="set the account up with infra/",
        )
    return usable


def _why_idle(queue: Queue) -> str | None:
    """Why a queue runs no jobs on EC2, or None."""
    if queue.fault is not None:
        return f"it is {queue.fault}"
    if queue.working:
        return None
    told = [f"{one.name} is {one.fault}" for one in queue.environments]
    return f"of its compute environments, {', '.join(told)}" if told else "it has none"


def _target(queue: Queue, offered: Collection[str] | None, catalog: Catalog) -> Target:
    tags = dict(queue.tags)
    most_vcpus: dict[str, int | None] = {}
    for member in queue.working:
        tags.update(member.tags)
        for name in expanded(member.types, catalog):
            most_vcpus[name] = max(most_vcpus.get(name) or 0, member.max_vcpus)
    types, closed = given(most_vcpus, offered, catalog)
    spot = all(member.capacity == "spot" for member in queue.working)
    return Target(
        name=queue.name,
        kind="batch",
        instance_types=types,
        labels=dict(_tagged(tags, _LABEL_TAG)),
        taints=tuple(_taint(key, told) for key, told in _tagged(tags, _TAINT_TAG)),
        capacity="spot" if spot else "on-demand",
        closed=closed,
    )


def _tagged(tags: Mapping[str, str], prefix: str) -> Iterator[tuple[str, str]]:
    for tag, value in sorted(tags.items()):
        if tag.startswith(prefix):
            yield tag.removeprefix(prefix), value


def _taint(key: str, told: str) -> Taint:
    """A taint from its tag `flowyml-aws:taint:<key>` with the value `[<value>:]<effect>`."""
    taint = read_taint(key, told)
    if taint is None:
        raise SettingsError(
            what=f"Tag {_TAINT_TAG}{key} of a queue or compute environment is {told!r}",
            why="a taint ends in NoSchedule, PreferNoSchedule or NoExecute",
            fix="write the tag as VALUE:NoSchedule",
        )
    return taint
