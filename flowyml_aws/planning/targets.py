"""Where a job can go, with Kubernetes' rules for labels and taints: a target is a node pool.

Source of the rules: https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/ and
https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal

from flowyml_aws.planning.catalog import Catalog, InstanceType
from flowyml_aws.planning.needs import Amounts, Needs, Toleration

__all__ = [
    "ARCH_LABEL",
    "CAPACITY_LABEL",
    "INSTANCE_TYPE_LABEL",
    "ZONE_LABEL",
    "Candidate",
    "Obstacle",
    "PriceBasis",
    "Taint",
    "Target",
    "candidates_on",
    "has_label",
    "not_offered",
    "obstacle",
    "offline_targets",
    "read_taint",
    "soft_taints",
]

INSTANCE_TYPE_LABEL = "node.kubernetes.io/instance-type"
ARCH_LABEL = "kubernetes.io/arch"
OS_LABEL = "kubernetes.io/os"
ZONE_LABEL = "topology.kubernetes.io/zone"
REGION_LABEL = "topology.kubernetes.io/region"
CAPACITY_LABEL = "karpenter.sh/capacity-type"

# The largest volume: io2 and gp3 on EC2, gp2 on SageMaker (EBS and SageMaker user guides).
_EBS_GIB = {"batch": 64 * 1024, "sagemaker": 16 * 1024}


@dataclass(frozen=True, slots=True)
class Taint:
    """What keeps jobs away that do not tolerate it."""

    key: str
    value: str = ""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = "NoSchedule"

    def tolerated_by(self, toleration: Toleration) -> bool:
        """Whether the toleration covers this taint."""
        if toleration.effect not in ("", self.effect) or toleration.key not in ("", self.key):
            return False
        return toleration.operator == "Exists" or toleration.value == self.value

    def __str__(self) -> str:
        return (
            f"{self.key}={self.value}:{self.effect}" if self.value else f"{self.key}:{self.effect}"
        )


def read_taint(key: str, told: str) -> Taint | None:
    """A taint from its key and `[<value>:]<effect>`, or None where that is no effect."""
    value, _, effect = told.rpartition(":")
    for known in ("NoSchedule", "PreferNoSchedule", "NoExecute"):
        if effect == known:
            return Taint(key, value, known)
    return None


@dataclass(frozen=True, slots=True)
class Target:
    """Somewhere a job can go.

    Attributes:
        name: The queue's name, or what users call the place.
        instance_types: Names of EC2's, or on SageMaker either service's.
        labels: What the nodes of this target have beyond the labels that every node has.
        placed_by: Who picks the instance type of a job: `queue` where Batch takes any of the
            target's types that is large enough, `plan` where the plan's choice is what is used.
        closed: Types that it names and cannot give, with the reason: the region does not offer
            them, or they exceed a limit. They are not among `instance_types`.
    """

    name: str
    kind: Literal["batch", "sagemaker", "local"]
    instance_types: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    taints: tuple[Taint, ...] = ()
    capacity: Literal["on-demand", "spot"] = "on-demand"
    placed_by: Literal["queue", "plan"] = "queue"
    closed: Mapping[str, str] = field(default_factory=dict, hash=False)

    def with_closed_types(self) -> Target:
        """The target as it would be with the types alone that it can't give."""
        return replace(self, instance_types=tuple(self.closed))


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a job cannot go to a target, and what would change that."""

    reason: str
    fix: str


PriceBasis = Literal["on-demand", "spot", "at most", "estimated", "unknown"]
"""What a price is: told by AWS; `at most` is the one on demand where that on spot is unknown;
`estimated` is SageMaker's, calculated from EC2's."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An instance type as a target gives it to a job.

    Attributes:
        name: What the target calls the type: `ml.g4dn.xlarge` on SageMaker.
        gives: What one job can have of it.
        price_usd_hour: For the target's capacity, or None where unknown.
    """

    name: str
    target: Target = field(repr=False)
    instance: InstanceType = field(repr=False)
    gives: Amounts
    price_usd_hour: float | None
    price_basis: PriceBasis

    @property
    def rank(self) -> tuple[float, int, str]:
        """Sorts by price, unknown ones last, then from the newest generation, then by name."""
        price = math.inf if self.price_usd_hour is None else self.price_usd_hour
        return price, -self.instance.generation, self.name


def offline_targets(
    catalog: Catalog, kind: Literal["batch", "sagemaker"] = "batch"
) -> tuple[Target, ...]:
    """What can be assumed without an account: all the types of the catalog, picked by the plan.

    Retired types are among them where the catalog does not know better, because the plan says so
    where it picks one.
    """
    names, closed = [], {}
    for instance in catalog.types:
        name = instance.sagemaker_name if kind == "sagemaker" else instance.name
        if name is not None and instance.offered:
            names.append(name)
        elif name is not None:
            closed[name] = not_offered(instance, catalog.region)
    return (Target("catalog", kind, tuple(names), placed_by="plan", closed=closed),)


def not_offered(instance: InstanceType, region: str) -> str:
    """Why a type can't be had in a region that does not list it."""
    withdrawn = instance.retired_after
    told = f", AWS has withdrawn it (last listed on {withdrawn})" if withdrawn else ""
    return f"{region} does not offer it{told}"


@lru_cache(maxsize=64)
def candidates_on(target: Target, catalog: Catalog) -> tuple[Candidate, ...]:
    """The target's types that the catalog knows, in the order of `Candidate.rank`."""
    found = (_candidate(name, target, catalog) for name in target.instance_types)
    unique = {c.name: c for c in found if c is not None}
    return tuple(sorted(unique.values(), key=lambda c: c.rank))


def obstacle(target: Target, needs: Needs, catalog: Catalog) -> Obstacle | None:
    """What keeps the job from a target, whatever its instance types are; None if nothing does."""
    if target.kind == "local":
        return Obstacle("this machine has no instance types", "plan for Batch or SageMaker")
    for label, value in needs.required:
        if label in (INSTANCE_TYPE_LABEL, ARCH_LABEL):
            continue  # a matter of each type
        if not has_label(target, label, value, catalog):
            actual = _label(target, label, catalog)
            has = f"no label {label!r}" if actual is None else f"the label {label}={actual}"
            return Obstacle(
                f"it has {has}, required is {label}={value}",
                f"give a target the label {label}={value}, or require what a target has",
            )
    for taint in target.taints:
        if taint.effect != "PreferNoSchedule" and not _tolerated(taint, needs):
            return Obstacle(
                f"its taint {taint} is not tolerated",
                f"add a toleration for {taint.key!r}, or take the taint from the target",
            )
    return None


def has_label(target: Target, label: str, value: str, catalog: Catalog) -> bool:
    """Whether every node of the target has the label with this value."""
    actual = _label(target, label, catalog)
    if actual is None and label == ZONE_LABEL and target.placed_by == "plan":
        return re.fullmatch(re.escape(catalog.region) + "[a-z]", value) is not None
    return actual == value


def soft_taints(target: Target, needs: Needs) -> int:
    """How many untolerated taints ask the job to stay away if it can."""
    soft = (t for t in target.taints if t.effect == "PreferNoSchedule")
    return sum(not _tolerated(taint, needs) for taint in soft)


def _label(target: Target, label: str, catalog: Catalog) -> str | None:
    known = {OS_LABEL: "linux", REGION_LABEL: catalog.region, CAPACITY_LABEL: target.capacity}
    return known.get(label, target.labels.get(label))


def _tolerated(taint: Taint, needs: Needs) -> bool:
    return any(taint.tolerated_by(toleration) for toleration in needs.tolerations)


def _candidate(name: str, target: Target, catalog: Catalog) -> Candidate | None:
    instance = catalog.get(name)
    if instance is None or target.kind == "local":
        return None
    memory_mib = instance.usable_memory_mib
    storage_gib = _EBS_GIB[target.kind]
    if target.kind == "sagemaker":
        if instance.sagemaker_name is None:
            return None
        name = instance.sagemaker_name
        memory_mib = instance.memory_mib  # the service takes its share from elsewhere
        if instance.nvme_gb:
            storage_gib = instance.nvme_gb * 10**9 // 2**30  # no EBS volume besides local disks
    gives = Amounts(
        instance.vcpus, memory_mib, storage_gib, instance.gpu_count, instance.gpu_memory_gb
    )
    return Candidate(name, target, instance, gives, *_price(instance, target))


def _price(instance: InstanceType, target: Target) -> tuple[float | None, PriceBasis]:
    on_sagemaker, on_spot = target.kind == "sagemaker", target.capacity == "spot"
    price = instance.sagemaker_price_usd_hour if on_sagemaker else instance.price_usd_hour
    if on_spot and not on_sagemaker and instance.spot_usd_hour is not None:
        return instance.spot_usd_hour, "spot"
    if price is None:
        return None, "unknown"
    if on_spot:
        return price, "at most"
    estimated = on_sagemaker and instance.sagemaker_price_estimated
    return price, "estimated" if estimated else "on-demand"
