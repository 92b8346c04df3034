"""Which instance types of which targets a job may use, and which of them are large enough.

Which types come into question does not depend on the vCPUs, memory and disk of a job. So a job
that asks for more of them never gets a cheaper type, unless only a last resort is left for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from operator import le

from flowyml_aws.planning.catalog import Catalog, InstanceType
from flowyml_aws.planning.needs import Needs
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
    "last_resort",
    "obstacle_to",
    "open_targets",
    "pool",
    "unfit",
]

EC2_ARCHES = {"amd64": "x86_64"}
"""EC2's name of an architecture by Kubernetes' name, where they differ."""


@dataclass(frozen=True, slots=True)
class SelectionRequest:
    """What a choice is made from; equal questions have equal answers."""

    needs: Needs
    targets: tuple[Target, ...]
    catalog: Catalog


@dataclass(frozen=True, slots=True)
class HardwareClass:
    """The part of the needs that is no amount.

    Attributes:
        instance_type: The only type that the job accepts, by EC2's name.
        spare_gpus: Whether a job without GPUs may go to a machine that has some.
    """

    gpu_model: str | None
    arches: frozenset[str]
    instance_type: str | None
    spare_gpus: bool = False


def open_targets(question: SelectionRequest) -> tuple[list[Target], HardwareClass]:
    """The targets that the job may go to, and what makes a type of theirs come into question."""
    found = [t for t in question.targets if obstacle_to(question, t) is None]
    kind = _kind(question.needs, question.catalog)
    if kind.gpu_model is None and not any(pool(kind, t, question.catalog) for t in found):
        kind = replace(kind, spare_gpus=True)
    return found, kind


def obstacle_to(question: SelectionRequest, target: Target) -> Obstacle | None:
    """What keeps the job from a target: labels, taints, or other GPUs in the same queue."""
    return obstacle(target, question.needs, question.catalog) or _other_gpus(question, target)


@lru_cache(maxsize=256)
def pool(kind: HardwareClass, target: Target, catalog: Catalog) -> tuple[Candidate, ...]:
    """The types of a target that come into question, in the order of `Candidate.rank`.

    Last resorts come after all others.
    """
    found = (c for c in candidates_on(target, catalog) if unfit(kind, c.instance) is None)
    return tuple(sorted(found, key=lambda c: last_resort(kind, c.instance) is not None))


def fits(needs: Needs, found: Sequence[Candidate]) -> Iterator[Candidate]:
    """Those that are large enough, in the same order."""
    wanted = needs.amounts
    return (c for c in found if all(map(le, wanted, c.gives)))


def unfit(kind: HardwareClass, instance: InstanceType) -> str | None:
    """Why a type is out of the question, whatever its size; None if it is not."""
    if kind.instance_type is not None and instance.name != kind.instance_type:
        return f"the job requires {INSTANCE_TYPE_LABEL}={kind.instance_type}"
    if instance.arch not in kind.arches:
        return f"it is {instance.arch}, and the job needs {' or '.join(sorted(kind.arches))}"
    if kind.gpu_model is not None:
        if instance.gpu_model != kind.gpu_model:
            return f"it has {instance.gpu_model or 'no GPU'}, not {kind.gpu_model}"
        if instance.gpu_fraction < 1:
            return "it has a fraction of a GPU, and the job needs whole ones"
    if kind.instance_type is not None:
        return None  # who names a type gets it
    if kind.gpu_model is None and instance.gpu_model is not None and not kind.spare_gpus:
        return "it has GPUs, and the job uses none"
    if instance.accelerator is not None:
        label = f"with the label {INSTANCE_TYPE_LABEL}"
        return f"it has {instance.accelerator}: only for jobs that require it {label}"
    return None


def last_resort(kind: HardwareClass, instance: InstanceType) -> str | None:
    """Why a type is taken only where nothing else fits; None if it is like any other."""
    if kind.instance_type is not None:
        return None  # who names a type wants it
    if instance.bare_metal:
        return "it is bare metal, which starts slowly"
    if instance.burstable:
        return "it is burstable: its CPUs are whole only for part of the time"
    return None


def _kind(needs: Needs, catalog: Catalog) -> HardwareClass:
    required, preferred = dict(needs.required), dict(needs.preferred)
    name = required.get(INSTANCE_TYPE_LABEL)
    if name is not None and (known := catalog.get(name)) is not None:
        name = known.name
    if ARCH_LABEL in required:
        arches = {required[ARCH_LABEL]}
    elif name is not None:
        arches = {"x86_64", "arm64"}
    else:
        arches = {"x86_64", preferred.get(ARCH_LABEL, "x86_64")}
    return HardwareClass(needs.gpu_model, frozenset(EC2_ARCHES.get(a, a) for a in arches), name)


def _other_gpus(question: SelectionRequest, target: Target) -> Obstacle | None:
    needs = question.needs
    if not needs.gpu_count or target.kind != "batch" or target.placed_by != "queue":
        return None
    # Batch counts GPUs and knows nothing of models: any type with enough of them could be taken.
    for candidate in candidates_on(target, question.catalog):
        has = candidate.instance
        other = has.gpu_model != needs.gpu_model or has.gpu_fraction < 1
        if has.gpu_count >= needs.gpu_count and (other or has.gpu_memory_gb < needs.gpu_memory_gb):
            return Obstacle(
                f"its queue could put the job on {has.name} too, "
                f"which has {has.gpu_model} of {has.gpu_memory_gb} GB",
                "give each GPU model a queue of its own",
            )
    return None
