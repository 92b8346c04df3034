"""What a job needs from the machine, in whole numbers with one unit each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from flowyml_aws.core.errors import InvalidResourcesError
from flowyml_aws.core.gpus import parse_gpu_name
from flowyml_aws.core.quantities import Quantity, exact_cpu, exact_memory, memory_mib
from flowyml_aws.core.resources import GPUConfig, ResourceRequirements

__all__ = [
    "DEFAULT_MEMORY_MIB",
    "DEFAULT_VCPUS",
    "Amounts",
    "Labels",
    "Needs",
    "Toleration",
    "mib_text",
    "needs_of",
]

DEFAULT_VCPUS = 1
"""vCPUs of a job that does not say."""
DEFAULT_MEMORY_MIB = 2048
"""Memory of a job that does not say."""

Labels = tuple[tuple[str, str], ...]
"""Labels with their values, sorted."""

Effect = Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"]
_GIB = 2**30


class Amounts(NamedTuple):
    """What can be compared as "at least": asked by a job, or given by an instance type."""

    vcpus: int
    memory_mib: int
    storage_gib: int
    gpu_count: int
    gpu_memory_gb: int


@dataclass(frozen=True, slots=True)
class Toleration:
    """A taint, or a set of taints, that a job puts up with, as in Kubernetes.

    Attributes:
        key: The taint's key; empty with `Exists` for every taint.
        operator: `Equal` compares the values, `Exists` takes any.
        value: The taint's value, empty with `Exists`.
        effect: The taint's effect; empty for every effect.
    """

    key: str = ""
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str = ""
    effect: Effect = ""

    def __post_init__(self) -> None:
        fault = None
        if self.operator not in ("Equal", "Exists"):
            fault = f"operator {self.operator!r} is neither Equal nor Exists"
        elif self.effect not in get_args(Effect):
            fault = f"effect {self.effect!r} is none of NoSchedule, PreferNoSchedule, NoExecute"
        elif self.operator == "Exists" and self.value:
            fault = "operator Exists takes any value, so none may stand there"
        elif self.operator == "Equal" and not self.key:
            fault = "without a key only operator Exists has a meaning"
        if fault is not None:
            raise InvalidResourcesError(
                what=f"A toleration is wrong: {self}",
                why=fault,
                fix='write {"key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule"}',
            )


@dataclass(frozen=True, slots=True)
class Needs:
    """What a job needs. Hashable: equal needs get the same choice.

    Attributes:
        storage_gib: Disk, 0 if the job does not ask for any.
        gpu_model: Canonical name, or None without GPUs.
        gpu_count: GPUs in one machine.
        gpu_memory_gb: Least memory per GPU, compared with what the vendor names it.
        required: Labels that must hold.
        preferred: Labels that order what is left.
    """

    vcpus: int = DEFAULT_VCPUS
    memory_mib: int = DEFAULT_MEMORY_MIB
    storage_gib: int = 0
    gpu_model: str | None = None
    gpu_count: int = 0
    gpu_memory_gb: int = 0
    required: Labels = ()
    preferred: Labels = ()
    tolerations: tuple[Toleration, ...] = ()

    def __post_init__(self) -> None:
        if (self.gpu_model is None) != (self.gpu_count == 0) or min(self.amounts) < 0:
            raise ValueError(f"needs contradict themselves: {self!r}")

    @property
    def amounts(self) -> Amounts:
        """The parts that are amounts."""
        return Amounts(
            self.vcpus, self.memory_mib, self.storage_gib, self.gpu_count, self.gpu_memory_gb
        )

    def __str__(self) -> str:
        parts = [
            f"{self.vcpus} vCPU{'s' * (self.vcpus > 1)}",
            f"{mib_text(self.memory_mib)} memory",
        ]
        if self.storage_gib:
            parts.append(f"{self.storage_gib}Gi storage")
        if self.gpu_model:
            memory = f" of {self.gpu_memory_gb} GB" if self.gpu_memory_gb else ""
            parts.insert(0, f"{self.gpu_count} x {self.gpu_model}{memory}")
        parts += [f"{label}={value}" for label, value in self.required]
        return ", ".join(parts)


def needs_of(resources: ResourceRequirements | None) -> Needs:
    """The needs of a job from what its steps asked for together.

    vCPUs are whole, rounded up; a job that says nothing gets 1 vCPU and 2 GiB of memory. Memory
    in a GPU's name (`a100-80gb`) and `GPUConfig.memory` both hold. "40Gi" and "40 GB" of GPU
    memory are the same: vendors' gigabytes are GiB, minus what the driver keeps.

    Raises:
        InvalidQuantityError, UnknownGpuError, InvalidResourcesError: As their parts do.
    """
    if resources is None:
        return Needs()
    affinity = resources.node_affinity
    gpu = resources.gpu
    return Needs(
        vcpus=DEFAULT_VCPUS if resources.cpu is None else math.ceil(exact_cpu(resources.cpu)),
        memory_mib=DEFAULT_MEMORY_MIB if resources.memory is None else memory_mib(resources.memory),
        storage_gib=_gib(resources.storage),
        gpu_model=parse_gpu_name(gpu.gpu_type).model.name if gpu else None,
        gpu_count=gpu.count if gpu else 0,
        gpu_memory_gb=_gpu_memory_gb(gpu) if gpu else 0,
        required=tuple(sorted(affinity.required.items())) if affinity else (),
        preferred=tuple(sorted(affinity.preferred.items())) if affinity else (),
        tolerations=_tolerations(affinity.tolerations) if affinity else (),
    )


def mib_text(mib: int) -> str:
    """An amount of memory as the user could write it: `12Gi`, `7661Mi`."""
    return f"{mib // 1024}Gi" if mib % 1024 == 0 else f"{mib}Mi"


def _gib(quantity: Quantity | None) -> int:
    return 0 if quantity is None else math.ceil(exact_memory(quantity) / _GIB)


def _gpu_memory_gb(gpu: GPUConfig) -> int:
    return max(parse_gpu_name(gpu.gpu_type).memory_gb, _gib(gpu.memory))


def _tolerations(given: Sequence[Mapping[str, str]]) -> tuple[Toleration, ...]:
    known = ("key", "operator", "value", "effect")
    for toleration in given:
        for name in toleration:
            if name not in known:
                raise InvalidResourcesError(
                    what=f"Unknown field {name!r} in toleration {dict(toleration)!r}",
                    why=f"the fields are {', '.join(known)}",
                    fix="remove it",
                )
    return tuple(Toleration(**toleration) for toleration in given)  # type: ignore[arg-type]  # checked above
