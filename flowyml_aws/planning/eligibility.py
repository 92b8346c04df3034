"""Eligibility of instance types: those that a job may use, and those that are large enough.

Eligibility does not depend on the vCPUs, memory and disk of a job. So a job that requests more of
them never gets a cheaper type, unless only last resorts remain, or Batch could place the smaller
job on a type of the same queue whose disk is too small.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from operator import le

from flowyml_aws.catalog.types import Catalog, InstanceType
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.nodes import EFA_LABEL
from flowyml_aws.planning.startable import is_large_enough
from flowyml_aws.planning.targets import (
    ARCH_LABEL,
    INSTANCE_TYPE_LABEL,
    Candidate,
    Obstacle,
    Target,
    candidates_on,
    obstacle,
)

__all__ = [
    "EC2_ARCHES",
    "HardwareClass",
    "SelectionRequest",
    "fits",
    "has_efa_value",
    "last_resort",
    "mismatch",
    "obstacle_to",
    "open_targets",
    "pool",
]

EC2_ARCHES = {"amd64": "x86_64"}
"""EC2 names of architectures by Kubernetes name, for those that differ."""


@dataclass(frozen=True, slots=True)
class SelectionRequest:
    """The input of a selection; equal requests have equal selections."""

    needs: Needs
    targets: tuple[Target, ...]
    catalog: Catalog


@dataclass(frozen=True, slots=True)
class HardwareClass:
    """The hardware that a job needs, apart from amounts.

    Attributes:
        gpu_model: Canonical name, or None without GPUs.
        arches: EC2 names of the architectures that the job accepts.
        instance_type: EC2 name of the only type that the job accepts, or None for any type.
        spare_gpus: Whether a job without GPUs may use a machine with GPUs.
        efa: Required value of the label `EFA_LABEL`, `true` or `false`; None for either.
    """

    gpu_model: str | None
    arches: frozenset[str]
    instance_type: str | None
    spare_gpus: bool = False
    efa: str | None = None


def open_targets(request: SelectionRequest) -> tuple[list[Target], HardwareClass]:
    """Return the targets that accept the job, and the hardware class for their types."""
    targets = [t for t in request.targets if obstacle_to(request, t) is None]
    hardware = _hardware_class(request.needs, request.catalog)
    if hardware.gpu_model is None and not any(pool(hardware, t, request.catalog) for t in targets):
        hardware = replace(hardware, spare_gpus=True)
    return targets, hardware


def obstacle_to(request: SelectionRequest, target: Target) -> Obstacle | None:
    """Return what keeps the job from a target: labels, taints, or other types of the same queue."""
    return (
        obstacle(target, request.needs, request.catalog)
        or _other_gpus(request, target)
        or _smaller_disks(request, target)
    )


@lru_cache(maxsize=256)
def pool(hardware: HardwareClass, target: Target, catalog: Catalog) -> tuple[Candidate, ...]:
    """Return the eligible types of a target in the order of `Candidate.rank`, last resorts last."""
    eligible = (c for c in candidates_on(target, catalog) if mismatch(hardware, c.instance) is None)
    return tuple(sorted(eligible, key=lambda c: last_resort(hardware, c.instance) is not None))


def fits(needs: Needs, candidates: Sequence[Candidate]) -> Iterator[Candidate]:
    """Return the candidates that are large enough and can have all nodes, in the same order."""
    required = needs.amounts
    return (
        c
        for c in candidates
        if all(map(le, required, c.gives)) and c.node_refusal(needs.nodes) is None
    )


def mismatch(hardware: HardwareClass, instance: InstanceType) -> str | None:
    """Return the reason why a type is not eligible, whatever its size; None if it is eligible."""
    if hardware.instance_type is not None and instance.name != hardware.instance_type:
        return f"the job requires {INSTANCE_TYPE_LABEL}={hardware.instance_type}"
    if instance.arch not in hardware.arches:
        return f"it is {instance.arch}, and the job needs {' or '.join(sorted(hardware.arches))}"
    if hardware.efa is not None and not has_efa_value(instance, hardware.efa):
        return f"it has {'EFA' if instance.efa else 'no EFA'}"
    if hardware.gpu_model is not None:
        if instance.gpu_model != hardware.gpu_model:
            return f"it has {instance.gpu_model or 'no GPU'}, not {hardware.gpu_model}"
        if instance.gpu_fraction < 1:
            return "it has a fraction of a GPU, and the job needs whole GPUs"
    if hardware.instance_type is not None:
        return None  # a job may use any type that it requires by name
    if hardware.gpu_model is None and instance.gpu_model is not None and not hardware.spare_gpus:
        return "it has GPUs, and the job uses none"
    if instance.accelerator is not None:
        label = f"with the label {INSTANCE_TYPE_LABEL}"
        return f"it has {instance.accelerator}: only for jobs that require the type {label}"
    return None


def has_efa_value(instance: InstanceType, value: str) -> bool:
    """Return whether a type has this value of the label `EFA_LABEL`."""
    return value == ("true" if instance.efa else "false")


def last_resort(hardware: HardwareClass, instance: InstanceType) -> str | None:
    """Return the reason why a type is used only if nothing else fits; None for other types."""
    if hardware.instance_type is not None:
        return None  # a type that the job requires by name is as good as any
    if instance.bare_metal:
        return "it is bare metal, which starts slowly"
    if instance.burstable:
        return "it is burstable: its vCPUs run at full speed only part of the time"
    return None


def _hardware_class(needs: Needs, catalog: Catalog) -> HardwareClass:
    required, preferred = dict(needs.required), dict(needs.preferred)
    name = required.get(INSTANCE_TYPE_LABEL)
    if name is not None and (instance := catalog.get(name)) is not None:
        name = instance.name
    if ARCH_LABEL in required:
        arches = {required[ARCH_LABEL]}
    elif name is not None:
        arches = {"x86_64", "arm64"}
    else:
        arches = {"x86_64", preferred.get(ARCH_LABEL, "x86_64")}
    return HardwareClass(
        gpu_model=needs.gpu_model,
        arches=frozenset(EC2_ARCHES.get(a, a) for a in arches),
        instance_type=name,
        efa=required.get(EFA_LABEL),
    )


def _other_gpus(request: SelectionRequest, target: Target) -> Obstacle | None:
    needs = request.needs
    if not needs.gpu_count or target.placed_by != "queue":
        return None
    candidates = candidates_on(target, request.catalog)
    if all(c.instance.gpu_model != needs.gpu_model for c in candidates):
        return None  # each of its types is rejected
    # Batch counts GPUs but ignores their model: it may use any type that has enough of them.
    for candidate in candidates:
        instance = candidate.instance
        differs = instance.gpu_model != needs.gpu_model or instance.gpu_fraction < 1
        differs = differs or instance.gpu_memory_gb < needs.gpu_memory_gb
        if instance.gpu_count >= needs.gpu_count and differs:
            return Obstacle(
                f"Batch could place the job on {instance.name} of the same queue, "
                f"which has {instance.gpu_model} with {instance.gpu_memory_gb} GB",
                "create a separate queue for each GPU model",
            )
    return None


def _smaller_disks(request: SelectionRequest, target: Target) -> Obstacle | None:
    needs = request.needs
    if not needs.storage_gib or target.placed_by != "queue":
        return None
    # Batch ignores disks: it may use any type of the queue that has enough of everything else.
    possible = [c for c in candidates_on(target, request.catalog) if is_large_enough(needs, c)]
    smallest = min(possible, key=lambda c: c.gives.storage_gib, default=None)
    if smallest is None or smallest.gives.storage_gib >= needs.storage_gib:
        return None
    if all(c.gives.storage_gib < needs.storage_gib for c in possible):
        return None  # not a matter of the queue: the job is too large
    larger = min(c.name for c in possible if c.gives.storage_gib >= needs.storage_gib)
    return Obstacle(
        f"Batch could place the job on {smallest.name} of the same queue, where it gets at most "
        f"{smallest.gives.storage_gib}Gi storage",
        f"request more vCPUs or memory than {smallest.name} has, or create a queue of types such "
        f"as {larger} only",
    )
