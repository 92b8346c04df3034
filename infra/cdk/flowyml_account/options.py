"""What can be chosen: the variables of `infra/terraform`, with the same defaults."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flowyml_account.shared import FAMILIES

__all__ = ["Family", "Options"]

_NAME = re.compile(r"[a-z][a-z0-9-]{0,16}[a-z0-9]")
_TAINT = re.compile(r"(.*:)?(NoSchedule|PreferNoSchedule|NoExecute)")
_CAPACITIES = {"on-demand", "spot"}


@dataclass(frozen=True)
class Family:
    """What jobs can run on; what is None is as in `infra/account/families.json`.

    Attributes:
        capacity: `on-demand`, `spot` or both; each is a queue of its own.
        max_vcpus: Of all instances of one such queue together.
        instance_types: EC2 types or families.
        image_id: An image of your own for the instances.
        volume_gib: In place of the options' `volume_gib`.
        labels: As of a Kubernetes node.
        taints: The same, with the value `[VALUE:]EFFECT`.
    """

    capacity: Sequence[str] = ("on-demand", "spot")
    max_vcpus: int | None = None
    instance_types: Sequence[str] | None = None
    image_id: str | None = None
    volume_gib: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Options:
    """Of an account.

    Attributes:
        name: What the setting `account` of flowyml-aws says.
        families: By the names of `infra/account/families.json`.
        volume_gib: Size of each instance's disk: its system, images, and what jobs write.
        vpc_id: A VPC that is there; None makes one without NAT gateways, which costs nothing.
        subnet_ids: Of it: where instances go. They must reach AWS's services on port 443.
        route_table_ids: Of it: those that get the S3 gateway endpoint.
        zones: How many availability zones a new VPC has subnets in.
        egress_ports: Ports outside that jobs may connect to. AWS's services need 443.
        log_retention_days: How long what jobs print is kept.
        capacity_wait_s: How long the first job of a queue waits for an instance before Batch
            cancels it: 600 to 86400.
        misconfigured_wait_s: The same, where no instance of the queue can ever serve it.
        user_principal: ARN of who may take the laptop user's role; None for everybody in this
            account whose own policies allow it.
        alert_email: Who is told of failed jobs, stuck queues and the budget.
        monthly_budget_usd: Of the whole AWS account; None for none.
        tags: Of everything.
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
                f"name={self.name!r}: small letters, digits and hyphens, 2 to 18 of them, a letter "
                "first, no hyphen last: it becomes part of a bucket's name"
            )
        if "cpu" not in self.families or "on-demand" not in self.families["cpu"].capacity:
            raise ValueError(
                "families: `cpu` on demand must be among them: steps without a GPU, and drivers of "
                "runs on SageMaker, go there"
            )
        if self.vpc_id is not None and not self.subnet_ids:
            raise ValueError("subnet_ids: with vpc_id, they say where in it instances go")
        for name, family in self.families.items():
            _check(name, family)


def _check(name: str, family: Family) -> None:
    if name not in FAMILIES:
        raise ValueError(f"There is no family {name}; there are {', '.join(FAMILIES)}")
    if not family.capacity or not set(family.capacity) <= _CAPACITIES:
        raise ValueError(f"families[{name!r}].capacity: `on-demand`, `spot` or both")
    if family.image_id is None and FAMILIES[name]["image_type"] is None:
        raise ValueError(
            f"Batch has no image for {name} any more: give families[{name!r}].image_id, an ECS "
            "image of your own"
        )
    for taint in family.taints.values():
        if not _TAINT.fullmatch(taint):
            raise ValueError(
                f"families[{name!r}].taints: {taint!r} is not `[VALUE:]EFFECT`, with the effect "
                "NoSchedule, PreferNoSchedule or NoExecute"
            )
