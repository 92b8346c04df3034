"""Targets that jobs can be sent to. Labels and taints follow Kubernetes: a target is a node pool.

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

from flowyml_aws.catalog.disk import Disk
from flowyml_aws.catalog.families import not_offered
from flowyml_aws.catalog.types import Catalog, InstanceType
from flowyml_aws.core.job_options import FAIR_SHARE_LABEL, QUEUE_LABEL
from flowyml_aws.core.spot import CAPACITY_LABEL
from flowyml_aws.planning.needs import Amounts, Needs, Toleration
from flowyml_aws.planning.nodes import EFA_LABEL, NodeLimit, spot_refusal
from flowyml_aws.planning.option_labels import lack_of_label
from flowyml_aws.planning.services import (
    HostedInstance,
    service_traits,
    services_with_instances,
)

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
    "TypePool",
    "candidates_on",
    "has_label",
    "machine_kind",
    "obstacle",
    "offline_targets",
    "read_taint",
    "soft_taints",
]

INSTANCE_TYPE_LABEL = "node.kubernetes.io/instance-type"
ARCH_LABEL = "kubernetes.io/arch"
OS_LABEL = "kubernetes.io/os"
TYPE_LABELS = (INSTANCE_TYPE_LABEL, ARCH_LABEL, EFA_LABEL)
"""Labels that depend on the instance type, not on the target."""
ZONE_LABEL = "topology.kubernetes.io/zone"
REGION_LABEL = "topology.kubernetes.io/region"


@dataclass(frozen=True, slots=True)
class Taint:
    """A taint of a target: excludes jobs that do not tolerate it."""

    key: str
    value: str = ""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = "NoSchedule"

    def tolerated_by(self, toleration: Toleration) -> bool:
        """Return True if the toleration covers this taint."""
        if toleration.effect not in ("", self.effect) or toleration.key not in ("", self.key):
            return False
        return toleration.operator == "Exists" or toleration.value == self.value

    def __str__(self) -> str:
        return (
            f"{self.key}={self.value}:{self.effect}" if self.value else f"{self.key}:{self.effect}"
        )


def read_taint(key: str, text: str) -> Taint | None:
    """Parse a taint from its key and `[<value>:]<effect>`; return None if the effect is unknown."""
    value, _, effect = text.rpartition(":")
    for known in ("NoSchedule", "PreferNoSchedule", "NoExecute"):
        if effect == known:
            return Taint(key, value, known)
    return None


@dataclass(frozen=True, slots=True)
class TypePool:
    """Instance types among which a service chooses itself: a compute environment of Batch.

    Attributes:
        types: EC2 names of the types, also of those with more vCPUs than `max_vcpus`, which Batch
            may exceed by one instance.
        max_vcpus: Limit of the vCPUs of all instances together; None for no limit.
        starts_cheapest: Whether the cheapest type that fits is started, and the limit is never
            exceeded, as with the allocation strategy BEST_FIT.
    """

    types: tuple[str, ...]
    max_vcpus: int | None = None
    starts_cheapest: bool = False


@dataclass(frozen=True, slots=True)
class Obstacle:
    """The reason why a target does not accept a job, and the fix."""

    reason: str
    fix: str


@dataclass(frozen=True, slots=True)
class Target:
    """A target that jobs can be sent to.

    Attributes:
        name: Name of the queue, or the user's name for the target.
        kind: Service, or this machine (`local`).
        instance_types: EC2 names of the types; on SageMaker, names of either service.
        labels: Labels of the nodes, in addition to the well-known labels.
        taints: Taints of the nodes.
        capacity: Capacity of the nodes.
        placed_by: Component that selects the instance type of a job: `queue` if Batch uses any type
            of the target that is large enough, `plan` if the plan's selection is used.
        closed: Unavailable types that the target names, with the reason: the region does not offer
            them, or they exceed a limit. `instance_types` does not contain them.
        disk: Disk of its instances; None if a job gets a volume of any size.
        pools: Types that the service may start, in the order in which it tries the pools; empty
            if these are `instance_types`.
        nodes_obstacle: Obstacle for jobs on several nodes; None if they can run.
        node_limits: Limits of the number of nodes of one job, by the type's name on the target;
            types without one have no limit.
        efa_obstacle: Obstacle for jobs on several nodes that require an Elastic Fabric Adapter;
            None if nodes get those of their instance.
        efa_interfaces: Elastic Fabric Adapters of each instance, if the containers of nodes must
            request them; 0 otherwise.
        share: Share identifier of its jobs, if it has a fair-share scheduling policy; otherwise
            None.
    """

    name: str
    kind: str
    instance_types: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    taints: tuple[Taint, ...] = ()
    capacity: Literal["on-demand", "spot"] = "on-demand"
    placed_by: Literal["queue", "plan"] = "queue"
    closed: Mapping[str, str] = field(default_factory=dict, hash=False)
    disk: Disk | None = None
    pools: tuple[TypePool, ...] = ()
    nodes_obstacle: Obstacle | None = None
    node_limits: Mapping[str, NodeLimit] = field(default_factory=dict, hash=False)
    efa_obstacle: Obstacle | None = None
    efa_interfaces: int = 0
    share: str | None = None

    def without(self, closed: Mapping[str, str]) -> Target:
        """Return the target without some of its types, given with the reasons."""
        return replace(
            self,
            instance_types=tuple(name for name in self.instance_types if name not in closed),
            pools=tuple(
                replace(pool, types=tuple(name for name in pool.types if name not in closed))
                for pool in self.pools
            ),
            closed={
                **self.closed,
                **{name: closed[name] for name in self.instance_types if name in closed},
            },
        )

    @property
    def is_assumed(self) -> bool:
        """True if it replaces the queues of an account, which are unknown while none is set up."""
        return self.placed_by == "plan" and service_traits(self.kind).runs_on_queues

    def with_closed_types(self) -> Target:
        """Return the target with only its unavailable types."""
        return replace(self, instance_types=tuple(self.closed))


PriceBasis = Literal["on-demand", "spot", "at most", "estimated", "unknown"]
"""Basis of a price.

AWS publishes `on-demand` and `spot` prices; `at most` is the on-demand price if the spot price is
unknown; `estimated` is a SageMaker price that is calculated from the EC2 price.
"""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An instance type on a target.

    Attributes:
        name: Name of the type on the target: `ml.g4dn.xlarge` on SageMaker.
        target: Target that provides the type.
        instance: The type in the catalog.
        gives: Amounts that are available to one job.
        price_usd_hour: Price for the target's capacity, or None if unknown.
        price_basis: Basis of the price.
    """

    name: str
    target: Target = field(repr=False)
    instance: InstanceType = field(repr=False)
    gives: Amounts
    price_usd_hour: float | None
    price_basis: PriceBasis

    @property
    def node_limit(self) -> NodeLimit | None:
        """Lowest limit of the nodes of one job; None without any."""
        limits = [limit] if (limit := self.target.node_limits.get(self.name)) is not None else []
        rooms = [pool.max_vcpus for pool in self.target.pools if self.name in pool.types]
        known = [room for room in rooms if room is not None]
        if known and len(known) == len(rooms):
            reason = f"the target allows {max(known)} vCPUs in all"
            limits.append(NodeLimit(max(known) // self.instance.vcpus, reason))
        return min(limits, key=lambda limit: limit.nodes, default=None)

    def has_efa(self, nodes: int) -> bool:
        """Return whether a job has an Elastic Fabric Adapter on each of its nodes.

        Of a job on one machine, which has no use for it, only the instance type counts.
        """
        return self.instance.efa and (nodes == 1 or self.target.efa_obstacle is None)

    def node_refusal(self, nodes: int) -> str | None:
        """Return the limit that several nodes exceed; None if they are possible."""
        limit = self.node_limit if nodes > 1 else None
        return limit.reason if limit is not None and nodes > limit.nodes else None

    @property
    def rank(self) -> tuple[float, int, str]:
        """Sort key: price (unknown last), then newest generation, then name."""
        price = math.inf if self.price_usd_hour is None else self.price_usd_hour
        return price, -self.instance.generation, self.name


def offline_targets(catalog: Catalog, service: str | None = None) -> tuple[Target, ...]:
    """Return the targets to assume without an account: all types of the catalog.

    They include retired types unless the catalog knows that the region no longer offers them; a
    plan that selects one has a note.

    Args:
        catalog: Catalog of the region.
        service: Service of the targets; by default, the first one that has instance types.
    """
    service = service or services_with_instances()[0]
    names, closed = [], {}
    for instance in catalog.types:
        name = hosted.name if (hosted := _hosted(instance, service)) is not None else None
        if name is not None and instance.offered:
            names.append(name)
        elif name is not None:
            closed[name] = not_offered(instance, catalog.region)
    return (Target("catalog", service, tuple(names), placed_by="plan", closed=closed),)


@lru_cache(maxsize=64)
def candidates_on(target: Target, catalog: Catalog) -> tuple[Candidate, ...]:
    """Return the target's types that the catalog contains, in the order of `Candidate.rank`."""
    candidates = (_candidate(name, target, catalog) for name in target.instance_types)
    unique = {c.name: c for c in candidates if c is not None}
    return tuple(sorted(unique.values(), key=lambda c: c.rank))


def machine_kind(backend: str, needs: Needs, image: str | None = None) -> str:
    """Return the kind of machine of a job: where it runs, its GPU, architecture and own image.

    Values that a program evaluates on its machine are assumed to be equal on one kind.
    """
    gpu = needs.gpu_model or "no GPU"
    kind = f"{backend}, {gpu}, {dict(needs.required).get(ARCH_LABEL, 'any architecture')}"
    return kind if image is None else f"{kind}, {image}"


def obstacle(target: Target, needs: Needs, catalog: Catalog) -> Obstacle | None:
    """Return the obstacle between a job and a target apart from instance types, or None."""
    if service_traits(target.kind).hosted is None:
        return Obstacle("this machine has no instance types", "plan for Batch or SageMaker instead")
    refusal = spot_refusal(needs, target.kind)
    needs_spot = (CAPACITY_LABEL, "spot") in needs.required
    if refusal is not None and (target.capacity == "spot" or needs_spot):
        return Obstacle(refusal, 'use capacity on demand: spot="never" or spot="prefer"')
    for label, value in needs.required:
        if label in TYPE_LABELS:
            continue  # checked for each instance type
        if not has_label(target, label, value, catalog):
            if label == CAPACITY_LABEL and value in ("spot", "on-demand"):
                return _other_capacity(target, value)
            if (lack := lack_of_label(label, value)) is not None:
                return Obstacle(*lack)
            actual = _label(target, label, catalog)
            has = f"no label {label!r}" if actual is None else f"the label {label}={actual}"
            return Obstacle(
                f"it has {has}, but the job requires {label}={value}",
                f"add the label {label}={value} to a target, or require a label that a target has",
            )
    if needs.nodes > 1 and target.nodes_obstacle is not None:
        return target.nodes_obstacle
    requires_efa = needs.nodes > 1 and (EFA_LABEL, "true") in needs.required
    if requires_efa and target.efa_obstacle is not None:
        return target.efa_obstacle
    for taint in target.taints:
        if taint.effect != "PreferNoSchedule" and not _tolerated(taint, needs):
            return Obstacle(
                f"its taint {taint} is not tolerated",
                f"add a toleration for {taint.key!r}, or remove the taint from the target",
            )
    return None


def _other_capacity(target: Target, wanted: str) -> Obstacle:
    reason = f"its capacity is {target.capacity}, but the job requires {wanted}"
    if wanted == "on-demand":
        return Obstacle(reason, 'add a target with capacity on demand, or allow spot="prefer"')
    fix = "set sagemaker_spot = true"
    if service_traits(target.kind).runs_on_queues:
        fix = "add a queue on spot capacity to the setting `queues`"
    return Obstacle(reason, f'{fix}, or allow capacity on demand with spot="prefer"')


def has_label(target: Target, label: str, value: str, catalog: Catalog) -> bool:
    """Return True if every node of the target has the label with this value."""
    actual = _label(target, label, catalog)
    if actual is None and label == ZONE_LABEL and target.placed_by == "plan":
        return re.fullmatch(re.escape(catalog.region) + "[a-z]", value) is not None
    if target.is_assumed and lack_of_label(label, value) is not None:
        return True
    return actual == value


def soft_taints(target: Target, needs: Needs) -> int:
    """Return the number of soft taints (`PreferNoSchedule`) that the job does not tolerate."""
    soft = (t for t in target.taints if t.effect == "PreferNoSchedule")
    return sum(not _tolerated(taint, needs) for taint in soft)


def _label(target: Target, label: str, catalog: Catalog) -> str | None:
    builtin = {
        OS_LABEL: "linux",
        REGION_LABEL: catalog.region,
        CAPACITY_LABEL: target.capacity,
        QUEUE_LABEL: target.name,
        FAIR_SHARE_LABEL: None if target.share is None else "true",
    }
    return builtin.get(label, target.labels.get(label))


def _tolerated(taint: Taint, needs: Needs) -> bool:
    return any(taint.tolerated_by(toleration) for toleration in needs.tolerations)


def _candidate(name: str, target: Target, catalog: Catalog) -> Candidate | None:
    instance = catalog.get(name)
    if instance is None or (hosted := _hosted(instance, target.kind)) is None:
        return None
    gives = Amounts(
        instance.vcpus,
        hosted.memory_mib,
        hosted.storage_gib if target.disk is None else target.disk.free_on(instance),
        instance.gpu_count,
        instance.gpu_memory_gb,
    )
    return Candidate(hosted.name, target, instance, gives, *_price(hosted, target))


def _hosted(instance: InstanceType, service: str) -> HostedInstance | None:
    """Return an instance type as a service offers it, or None if it does not."""
    hosted = service_traits(service).hosted
    return None if hosted is None else hosted(instance)


def _price(hosted: HostedInstance, target: Target) -> tuple[float | None, PriceBasis]:
    on_spot = target.capacity == "spot"
    if on_spot and hosted.spot_usd_hour is not None:
        return hosted.spot_usd_hour, "spot"
    if hosted.price_usd_hour is None:
        return None, "unknown"
    if on_spot:
        return hosted.price_usd_hour, "at most"
    return hosted.price_usd_hour, "estimated" if hosted.is_estimated else "on-demand"
