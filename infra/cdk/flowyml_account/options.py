"""The options of an account: the variables of `infra/terraform`, with the same defaults."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flowyml_account.shared import FAMILIES

__all__ = ["Family", "Options", "max_vcpus_of", "sizes_of"]

_NAME = re.compile(r"[a-z][a-z0-9-]{0,16}[a-z0-9]")
_TAINT = re.compile(r"(.*:)?(NoSchedule|PreferNoSchedule|NoExecute)")
_INSTANCE_TYPE = re.compile(r"[a-z0-9-]+\.[a-z0-9-]+")
_MAX_ENVIRONMENTS = 3  # of one queue
_CAPACITIES = {"on-demand", "spot"}
_MIN_VOLUME_GIB = 30  # of ECS's images


@dataclass(frozen=True)
class Family:
    """Instances of one kind; None selects the value in `infra/account/families.json`.

    Attributes:
        capacity: `on-demand`, `spot` or both; each has a separate queue.
        max_vcpus: Limit of the vCPUs of all instances of one compute environment together. Larger
            types of the file are left out.
        sizes: Up to three lists of EC2 instance types, in the order in which Batch tries them; each
            is one compute environment. No families: Batch prefers their large sizes.
        image_id: Custom image for the instances.
        volume_gib: Disk size; overrides `volume_gib` of the options.
        labels: Labels, as of a Kubernetes node.
        taints: Taints, as of a Kubernetes node, with the value `[VALUE:]EFFECT`.
    """

    capacity: Sequence[str] = ("on-demand", "spot")
    max_vcpus: int | None = None
    sizes: Sequence[Sequence[str]] | None = None
    image_id: str | None = None
    volume_gib: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Options:
    """Options of an account.

    Attributes:
        name: Name of the account, for the setting `account` of flowyml-aws.
        families: Families by their names in `infra/account/families.json`.
        volume_gib: Disk size of each instance, for its system, images, and files of jobs.
        vpc_id: Existing VPC; None creates one without NAT gateways, which costs nothing.
        subnet_ids: Subnets of `vpc_id` for the instances; they must reach AWS's services on
            port 443.
        route_table_ids: Route tables of `vpc_id` that get the S3 gateway endpoint.
        zones: Number of availability zones in which a new VPC has subnets.
        egress_ports: Remote ports that jobs may connect to. AWS's services need 443.
        log_retention_days: Retention of job logs, in days.
        capacity_wait_s: Maximum seconds that the first job of a queue waits for an instance
            before Batch cancels it: 600 to 86400.
        misconfigured_wait_s: The same for a job that no instance of the queue can ever run.
        user_principal: ARN of the principal that may assume the user role; None for all
            principals of this account whose own policies allow it.
        alert_email: Email address for alerts about failed jobs, blocked queues and the budget.
        monthly_budget_usd: Budget of the whole AWS account; None for no budget.
        tags: Tags of all resources.
    """

    name: str = "main"
    families: Mapping[str, Family] = field(
        default_factory=lambda: {"cpu": Family(), "t4": Family()}
    )
    volume_gib: int = 100
    vpc_id: str | None = None
    subnet_ids: Sequence[str] = ()
    route_table_ids: Sequence[str] = ()
    zones: int = 3
    egress_ports: Sequence[int] = (443,)
    log_retention_days: int = 30
    capacity_wait_s: int = 86400
    misconfigured_wait_s: int = 3600
    user_principal: str | None = None
    alert_email: str | None = None
    monthly_budget_usd: float | None = 100
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                f"Invalid name {self.name!r}: expected 2 to 18 characters (lower-case letters, "
                "digits and hyphens; a letter first, no hyphen last), as a bucket's name contains "
                "it"
            )
        if "cpu" not in self.families or "on-demand" not in self.families["cpu"].capacity:
            raise ValueError(
                "families must contain `cpu` with on-demand capacity: it runs steps without a GPU, "
                "and drivers of runs on SageMaker"
            )
        if self.vpc_id is not None and not self.subnet_ids:
            raise ValueError("vpc_id requires subnet_ids: the VPC's subnets for the instances")
        if self.volume_gib < _MIN_VOLUME_GIB:
            raise ValueError(f"volume_gib must be at least {_MIN_VOLUME_GIB}: ECS's images need it")
        for name, family in self.families.items():
            _check(name, family)


def max_vcpus_of(name: str, family: Family) -> int:
    """Return the limit of the vCPUs of each compute environment of a family."""
    return family.max_vcpus or int(FAMILIES[name]["max_vcpus"])


def sizes_of(name: str, family: Family) -> list[list[str]]:
    """Return the instance types of each compute environment of a family's queues, in order.

    Batch may exceed the limit of an environment by one instance, so larger types are left out.
    """
    if family.sizes is not None:
        return [sorted(types) for types in family.sizes]
    limit = max_vcpus_of(name, family)
    groups = (
        [instance_type for instance_type, vcpus in sorted(group.items()) if vcpus <= limit]
        for group in FAMILIES[name]["sizes"]
    )
    return [types for types in groups if types]


def _check(name: str, family: Family) -> None:
    if name not in FAMILIES:
        raise ValueError(f"Unknown family {name}; known families: {', '.join(FAMILIES)}")
    if not family.capacity or not set(family.capacity) <= _CAPACITIES:
        raise ValueError(f"families[{name!r}].capacity must be `on-demand`, `spot` or both")
    if family.image_id is None and FAMILIES[name]["image_type"] is None:
        raise ValueError(
            f"Batch no longer has an image for {name}: set families[{name!r}].image_id to a custom "
            "ECS image"
        )
    if (family.volume_gib or _MIN_VOLUME_GIB) < _MIN_VOLUME_GIB:
        raise ValueError(
            f"families[{name!r}].volume_gib must be at least {_MIN_VOLUME_GIB}: ECS's images need "
            "it"
        )
    if family.sizes is not None:
        types = [instance_type for group in family.sizes for instance_type in group]
        is_listed = 1 <= len(family.sizes) <= _MAX_ENVIRONMENTS and all(family.sizes)
        if not is_listed or not all(_INSTANCE_TYPE.fullmatch(name) for name in types):
            raise ValueError(
                f"families[{name!r}].sizes must be one to three lists of instance types such as "
                "g4dn.xlarge. Families such as g4dn are not allowed: Batch prefers their large "
                "sizes"
            )
    if not sizes_of(name, family):
        raise ValueError(
            f"max_vcpus of {name} is {max_vcpus_of(name, family)}, less than its smallest instance "
            "type has"
        )
    for taint in family.taints.values():
        if not _TAINT.fullmatch(taint):
            raise ValueError(
                f"Invalid taint {taint!r} in families[{name!r}].taints: expected `[VALUE:]EFFECT`, "
                "with the effect NoSchedule, PreferNoSchedule or NoExecute"
            )
