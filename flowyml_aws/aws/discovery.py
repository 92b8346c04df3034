"""What an account offers: queues as targets of the planner, and checks before a run."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.errors import refused
from flowyml_aws.core.errors import AwsRefusedError, FlowymlError, SettingsError
from flowyml_aws.planning.catalog import Catalog
from flowyml_aws.planning.targets import Taint, Target

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sts import STSClient

__all__ = ["bucket_problem", "credentials_problem", "find_targets"]

_LABEL_TAG = "flowyml-aws:label:"
_TAINT_TAG = "flowyml-aws:taint:"
# https://docs.aws.amazon.com/batch/latest/userguide/instance-type-compute-table.html
_OPTIMAL = ("m4", "c4", "r4", "m5", "c5", "r5")


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


def find_targets(batch: BatchClient, queues: Sequence[str], catalog: Catalog) -> list[Target]:
    """The queues as targets: each with the instance types, labels and taints of its environments.

    Args:
        batch: Client.
        queues: Names; empty for every queue of the account.
        catalog: Resolves families such as `g4dn` to types.

    Raises:
        SettingsError: A queue does not exist, or the account has none that is enabled.
        AwsRefusedError: AWS denied the call.
    """
    try:
        pages = batch.get_paginator("describe_job_queues").paginate()
        found = {q["jobQueueName"]: q for page in pages for q in page["jobQueues"]}
        environments = {
            environment["computeEnvironmentArn"]: environment
            for page in batch.get_paginator("describe_compute_environments").paginate()
            for environment in page["computeEnvironments"]
        }
    except (ClientError, BotoCoreError) as error:
        raise refused(error, "list the queues and compute environments of the account") from error
    for name in queues:
        if name not in found:
            near = difflib.get_close_matches(name, found, n=3)
            raise SettingsError(
                what=f"Queue {name!r} does not exist",
                why=f"the account's queues are {', '.join(sorted(found)) or '(none)'}",
                fix=f"did you mean {' or '.join(near)}?" if near else "correct `queues`",
            )
    usable = [
        target
        for name in (queues or sorted(found))
        if found[name]["state"] == "ENABLED"
        for target in _targets_of(found[name], environments, catalog)
    ]
    if not usable:
        raise SettingsError(
            what="No queue can take jobs",
            why=f"none of {', '.join(queues or sorted(found)) or 'the account'} is enabled "
            "and has an enabled compute environment on EC2",
            fix="set the account up with infra/, or enable a queue",
        )
    return usable


def _targets_of(
    queue: Mapping[str, Any], environments: Mapping[str, Any], catalog: Catalog
) -> list[Target]:
    ordered = sorted(queue["computeEnvironmentOrder"], key=lambda entry: entry["order"])
    members = [
        environments[entry["computeEnvironment"]]
        for entry in ordered
        if entry["computeEnvironment"] in environments
    ]
    on_ec2 = [
        member
        for member in members
        if member.get("state") == "ENABLED"
        and member.get("computeResources", {}).get("type") in ("EC2", "SPOT")
    ]
    if not on_ec2:
        return []
    tags = dict(queue.get("tags", {}))
    for member in on_ec2:
        tags.update(member.get("tags", {}))
    types = [name for member in on_ec2 for name in member["computeResources"]["instanceTypes"]]
    spot = all(member["computeResources"]["type"] == "SPOT" for member in on_ec2)
    return [
        Target(
            name=queue["jobQueueName"],
            kind="batch",
            instance_types=tuple(dict.fromkeys(_expanded(types, catalog))),
            labels=dict(_tagged(tags, _LABEL_TAG)),
            taints=tuple(_taint(key, told) for key, told in _tagged(tags, _TAINT_TAG)),
            capacity="spot" if spot else "on-demand",
        )
    ]


def _expanded(types: Sequence[str], catalog: Catalog) -> Iterator[str]:
    """Families, and Batch's word `optimal`, as the types that they stand for."""
    for name in types:
        families = _OPTIMAL if name == "optimal" else (name,)
        if "." in name:
            yield name
        else:
            yield from (t.name for t in catalog.types if t.name.partition(".")[0] in families)


def _tagged(tags: Mapping[str, str], prefix: str) -> Iterator[tuple[str, str]]:
    for tag, value in sorted(tags.items()):
        if tag.startswith(prefix):
            yield tag.removeprefix(prefix), value


def _taint(key: str, told: str) -> Taint:
    """A taint from its tag `flowyml-aws:taint:<key>` with the value `[<value>:]<effect>`."""
    value, _, effect = told.rpartition(":")
    for known in ("NoSchedule", "PreferNoSchedule", "NoExecute"):
        if effect == known:
            return Taint(key, value, known)
    raise SettingsError(
        what=f"Tag {_TAINT_TAG}{key} of a queue or compute environment is {told!r}",
        why="a taint ends in NoSchedule, PreferNoSchedule or NoExecute",
        fix="write the tag as VALUE:NoSchedule",
    )
