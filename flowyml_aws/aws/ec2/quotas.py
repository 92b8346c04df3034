"""EC2 vCPU quotas: one for each class of instance families, on-demand and spot.

Source: https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.errors import error_code, refused
from flowyml_aws.catalog.types import Catalog
from flowyml_aws.core.concurrency import SERVICE_CALLS, map_concurrently

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_service_quotas import ServiceQuotasClient

__all__ = ["QUOTAS", "Quota", "quota_of", "read_limits", "running_vcpus"]

_STANDARD = ("a", "c", "d", "h", "i", "m", "r", "t", "z")


@dataclass(frozen=True, slots=True)
class Quota:
    """A vCPU quota.

    Attributes:
        code: Quota code of Service Quotas.
        classes: Prefixes of its instance families, before the first digit.
        generations: First digits of its instance families; empty for all generations.
    """

    code: str
    name: str
    capacity: Literal["on-demand", "spot"]
    classes: tuple[str, ...]
    generations: str = ""

    def covers(self, family: str) -> bool:
        """Return whether an instance family such as `g4dn` counts towards it."""
        match = re.match(r"([a-z]+)(\d?)", family)
        if match is None or (self.generations and match[2] not in self.generations):
            return False
        # "im4gn" and "is4gen" count by their first letter, but "hpc7a" has a quota of its own.
        return match[1] in self.classes or (self.classes == _STANDARD and match[1] in ("im", "is"))


QUOTAS = (
    Quota(
        "L-1216C47A",
        "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances",
        "on-demand",
        _STANDARD,
    ),
    Quota(
        "L-DB2E81BA",
        "Running On-Demand G and VT instances",
        "on-demand",
        ("g", "gr", "vt"),
    ),
    Quota("L-417A185B", "Running On-Demand P instances", "on-demand", ("p",)),
    Quota("L-74FC7D96", "Running On-Demand F instances", "on-demand", ("f",)),
    Quota("L-7295265B", "Running On-Demand X instances", "on-demand", ("x",)),
    Quota("L-1945791B", "Running On-Demand Inf instances", "on-demand", ("inf",)),
    Quota("L-2C3B7624", "Running On-Demand Trn instances", "on-demand", ("trn",)),
    Quota("L-6E869C2A", "Running On-Demand DL instances", "on-demand", ("dl",)),
    Quota(
        "L-34B43A08",
        "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests",
        "spot",
        _STANDARD,
    ),
    Quota("L-3819A6DF", "All G and VT Spot Instance Requests", "spot", ("g", "gr", "vt")),
    Quota("L-7212CCBC", "All P4, P3 and P2 Spot Instance Requests", "spot", ("p",), "234"),
    Quota("L-C4BD4855", "All P5 Spot Instance Requests", "spot", ("p",), "5"),
    Quota("L-88CF9481", "All F Spot Instance Requests", "spot", ("f",)),
    Quota("L-E3A00192", "All X Spot Instance Requests", "spot", ("x",)),
    Quota("L-B5D1601B", "All Inf Spot Instance Requests", "spot", ("inf",)),
    Quota("L-6B0D517C", "All Trn Spot Instance Requests", "spot", ("trn",)),
    Quota("L-85EED4F7", "All DL Spot Instance Requests", "spot", ("dl",)),
)


def quota_of(family: str, capacity: str) -> Quota | None:
    """Return the quota that a family's instances count towards, or None if unknown."""
    for quota in QUOTAS:
        if quota.capacity == capacity and quota.covers(family):
            return quota
    return None


def read_limits(client: ServiceQuotasClient, quotas: Collection[Quota]) -> dict[str, int]:
    """Return the account's vCPU limits by quota code; unknown quotas are left out.

    Raises:
        AwsRefusedError: AWS denied a call.
    """

    def read(quota: Quota) -> int | None:
        try:
            response = client.get_service_quota(ServiceCode="ec2", QuotaCode=quota.code)
        except ClientError as error:
            if error_code(error) == "NoSuchResourceException":
                return None
            raise refused(error, f"read the quota {quota.name!r}") from error
        except BotoCoreError as error:
            raise refused(error, f"read the quota {quota.name!r}") from error
        return int(response["Quota"]["Value"])

    unique = list(dict.fromkeys(quotas))
    limits = map_concurrently(read, unique, limit=SERVICE_CALLS)
    return {
        quota.code: limit for quota, limit in zip(unique, limits, strict=True) if limit is not None
    }


def running_vcpus(ec2: EC2Client, catalog: Catalog) -> dict[str, int]:
    """Return the vCPUs of the running and starting instances, by quota code.

    Raises:
        AwsRefusedError: AWS denied the call.
    """
    states = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
    try:
        instances = [
            (str(instance["InstanceType"]), instance.get("InstanceLifecycle") == "spot")
            for page in ec2.get_paginator("describe_instances").paginate(Filters=states)  # type: ignore[arg-type]  # built as JSON
            for reservation in page["Reservations"]
            for instance in reservation["Instances"]
        ]
    except (ClientError, BotoCoreError) as error:
        raise refused(error, "count the running instances (ec2:DescribeInstances)") from error
    return _vcpus_by_quota(instances, catalog)


def _vcpus_by_quota(instances: Iterable[tuple[str, bool]], catalog: Catalog) -> dict[str, int]:
    used: Counter[str] = Counter()
    vcpus: Mapping[str, int] = {instance.name: instance.vcpus for instance in catalog.types}
    for name, is_spot in instances:
        quota = quota_of(name.partition(".")[0], "spot" if is_spot else "on-demand")
        if quota is not None:
            used[quota.code] += vcpus.get(name, 0)
    return dict(used)
