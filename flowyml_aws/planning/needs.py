"""Requirements of a job on its machine, normalized to integers with one unit each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, NamedTuple, get_args

from flowyml_aws.core.errors import InvalidResourcesError
from flowyml_aws.core.gpus import parse_gpu_name
from flowyml_aws.core.quantities import Quantity, exact_cpu, exact_memory, memory_mib
from flowyml_aws.core.resources import GPUConfig, NodeAffinity, ResourceRequirements

__all__ = [
    "DEFAULT_MEMORY_MIB",
    "DEFAULT_VCPUS",
    "Amounts",
    "Labels",
    "Needs",
    "Toleration",
    "mib_text",
    "needs_of",
    "resources_of",
]

DEFAULT_VCPUS = 1
"""vCPUs of a job that does not request any."""
DEFAULT_MEMORY_MIB = 2048
"""Memory of a job that does not request any."""

Labels = tuple[tuple[str, str], ...]
"""Labels with their values, sorted."""

Effect = Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"]
_GIB = 2**30


class Amounts(NamedTuple):
    """Amounts compared as "at least": requested by a job, or provided by an instance type."""

    vcpus: int
    memory_mib: int
    storage_gib: int
    gpu_count: int
    gpu_memory_gb: int


@dataclass(frozen=True, slots=True)
class Toleration:
    """A taint, or a set of taints, that a job tolerates, as in Kubernetes.

    Attributes:
        key: Key of the taint; empty with `Exists` for every taint.
        operator: `Equal` to compare the values, `Exists` to accept any value.
        value: Value of the taint; empty with `Exists`.
        effect: Effect of the taint; empty for every effect.
    """

    key: str = ""
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str = ""
    effect: Effect = ""

    def __post_init__(self) -> None:
        problem = None
        if self.operator not in ("Equal", "Exists"):
            problem = f"operator {self.operator!r} is neither Equal nor Exists"
        elif self.effect not in get_args(Effect):
            problem = f"effect {self.effect!r} is not NoSchedule, PreferNoSchedule or NoExecute"
        elif self.operator == "Exists" and self.value:
            problem = "operator Exists accepts any value, so `value` must be empty"
        elif self.operator == "Equal" and not self.key:
            problem = "without a key, only operator Exists is valid"
        if problem is not None:
            raise InvalidResourcesError(
                what=f"Invalid toleration: {self}",
                why=problem,
                fix='write {"key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule"}',
            )


@dataclass(frozen=True, slots=True)
class Needs:
    """Requirements of a job. Hashable: equal needs get the same selection.

    Attributes:
        storage_gib: Disk size; 0 if the job does not request any.
        gpu_model: Canonical name, or None without GPUs.
        gpu_count: Number of GPUs in one machine.
        gpu_memory_gb: Minimum memory per GPU, compared with the vendor's nominal size.
        required: Labels that a target or type must have.
        preferred: Labels that rank the candidates.
        nodes: Number of machines; each has all of the amounts.
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
    nodes: int = 1

    def __post_init__(self) -> None:
        amounts = self.vcpus, self.memory_mib, self.storage_gib, self.gpu_count, self.gpu_memory_gb
        if (self.gpu_model is None) != (self.gpu_count == 0) or min(amounts) < 0:
            raise ValueError(f"contradictory needs: {self!r}")

    @property
    def amounts(self) -> Amounts:
        """Requirements that are amounts."""
        return Amounts(
            self.vcpus, self.memory_mib, self.storage_gib, self.gpu_count, self.gpu_memory_gb
        )

    def price_of_nodes(self, usd_hour: float | None) -> float | None:
        """Return the price of all nodes, from that of one machine; None if it is unknown."""
        return None if usd_hour is None else usd_hour * self.nodes

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
        one = ", ".join(parts)
        return one if self.nodes == 1 else f"{self.nodes} nodes, each {one}"


_NO_REQUEST = Needs()


def needs_of(resources: ResourceRequirements | None) -> Needs:
    """Return the needs of a job from the merged resources of its steps.

    vCPUs are rounded up to a whole number; a job that requests nothing gets 1 vCPU and 2 GiB of
    memory. Memory in a GPU's name (`a100-80gb`) and `GPUConfig.memory` both apply. "40Gi" and
    "40 GB" of GPU memory are the same: vendors' gigabytes are GiB, minus what the driver reserves.

    Raises:
        InvalidQuantityError: A quantity can't be parsed.
        UnknownGpuError: No GPU has this name.
        InvalidResourcesError: A toleration is invalid.
    """
    if resources is None:
        return _NO_REQUEST
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
        nodes=resources.nodes or 1,
    )


def resources_of(needs: Needs) -> ResourceRequirements:
    """Return resources that have these needs: the opposite of `needs_of`."""
    gpu = None
    if needs.gpu_model is not None:
        memory = f"{needs.gpu_memory_gb}Gi" if needs.gpu_memory_gb else None
        gpu = GPUConfig(needs.gpu_model, needs.gpu_count, memory)
    return ResourceRequirements(
        cpu=needs.vcpus,
        memory=f"{needs.memory_mib}Mi",
        storage=f"{needs.storage_gib}Gi" if needs.storage_gib else None,
        gpu=gpu,
        node_affinity=NodeAffinity(
            required=dict(needs.required),
            preferred=dict(needs.preferred),
            tolerations=[asdict(toleration) for toleration in needs.tolerations],
        ),
        nodes=needs.nodes,
    )


def mib_text(mib: int) -> str:
    """Format an amount of memory as the user could write it: `12Gi`, `7661Mi`."""
    return f"{mib // 1024}Gi" if mib % 1024 == 0 else f"{mib}Mi"


def _gib(quantity: Quantity | None) -> int:
    return 0 if quantity is None else math.ceil(exact_memory(quantity) / _GIB)


def _gpu_memory_gb(gpu: GPUConfig) -> int:
    return max(parse_gpu_name(gpu.gpu_type).memory_gb, _gib(gpu.memory))


def _tolerations(entries: Sequence[Mapping[str, str]]) -> tuple[Toleration, ...]:
    fields = ("key", "operator", "value", "effect")
    for entry in entries:
        for name in entry:
            if name not in fields:
                raise InvalidResourcesError(
                    what=f"Unknown field {name!r} in toleration {dict(entry)!r}",
                    why=f"the fields are {', '.join(fields)}",
                    fix="remove it",
                )
    return tuple(Toleration(**entry) for entry in entries)  # type: ignore[arg-type]  # checked above
