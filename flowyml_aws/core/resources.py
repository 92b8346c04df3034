"""What a step needs from the machine, and how the needs of a group's steps add up.

Every merge takes the maximum (the winner keeps its spelling) and is associative, commutative and
idempotent: of two spellings of the same amount, the alphabetically first one stays.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import reduce
from typing import Any, TypeVar

from flowyml_aws.core.errors import AffinityConflictError, FlowymlError, InvalidResourcesError
from flowyml_aws.core.gpus import parse_gpu_name
from flowyml_aws.core.quantities import Quantity, exact_cpu, exact_memory

__all__ = ["GPUConfig", "NodeAffinity", "ResourceRequirements", "merge_resources", "read_resources"]

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class GPUConfig:
    """GPUs of one type.

    Attributes:
        gpu_type: A name such as `nvidia-a100`, `a100-80gb`, `T4`.
        count: GPUs in one machine, at least 1.
        memory: Least memory per GPU, such as `"40Gi"`.
    """

    gpu_type: str
    count: int = 1
    memory: Quantity | None = None

    def merge_with(self, other: GPUConfig) -> GPUConfig:
        """The better type, the larger count, the larger memory per GPU.

        Memory that the weaker type's name states (`l40s-48gb`) is asked of the better one, too.

        Raises:
            UnknownGpuError: One of the types is unknown.
        """
        best = _winner(self.gpu_type, other.gpu_type, key=lambda t: parse_gpu_name(t).strength)
        memory = _larger(self.memory, other.memory, exact_memory)
        for name in map(parse_gpu_name, (self.gpu_type, other.gpu_type)):
            if name.memory_gb and name != parse_gpu_name(best):
                memory = _larger(memory, f"{name.memory_gb}Gi", exact_memory)
        return GPUConfig(best, max(self.count, other.count), memory)

    def to_dict(self) -> dict[str, Any]:
        return {"type": self.gpu_type, "count": self.count, "memory": self.memory}


@dataclass(frozen=True, slots=True)
class NodeAffinity:
    """Where a step may run, in the terms of Kubernetes.

    Attributes:
        required: Labels that the target must have.
        preferred: Labels that order the targets that are left.
        tolerations: Taints that the step tolerates: `key`, `operator`, `value`, `effect`.
    """

    required: Mapping[str, str] = field(default_factory=dict)
    preferred: Mapping[str, str] = field(default_factory=dict)
    tolerations: Sequence[Mapping[str, str]] = ()

    def __post_init__(self) -> None:
        for name, labels in (
            ("required", [self.required]),
            ("preferred", [self.preferred]),
            ("tolerations", self.tolerations),
        ):
            if not isinstance(labels, (list, tuple)) or not all(map(_is_labels, labels)):
                raise InvalidResourcesError(
                    what=f"`{name}` in a NodeAffinity is {getattr(self, name)!r}",
                    why="labels, and the fields of a toleration, are texts with text values",
                    fix='write {"label": "value"} (quote numbers), tolerations as a list of them',
                )
        unique = {tuple(sorted(toleration.items())) for toleration in self.tolerations}
        object.__setattr__(self, "tolerations", tuple(dict(items) for items in sorted(unique)))

    def merge_with(self, other: NodeAffinity) -> NodeAffinity:
        """The union of both.

        Of two preferred values of one label the alphabetically first one stays.

        Raises:
            AffinityConflictError: Both require different values of one label.
        """
        for label in sorted(self.required.keys() & other.required.keys()):
            if self.required[label] != other.required[label]:
                values = sorted((self.required[label], other.required[label]))
                raise AffinityConflictError(
                    what=f"Node label {label!r} is required to be {values[0]!r} and {values[1]!r}",
                    why="both requirements fall on one machine, which has one value of a label",
                    fix="give the steps different execution groups, or the same label value",
                )
        preferred = dict(sorted((*self.preferred.items(), *other.preferred.items()), reverse=True))
        return NodeAffinity(
            required={**self.required, **other.required},
            preferred=preferred,
            tolerations=(*self.tolerations, *other.tolerations),
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "required": dict(self.required),
            "preferred": dict(self.preferred),
            "tolerations": [dict(toleration) for toleration in self.tolerations],
        }


@dataclass(frozen=True, slots=True)
class ResourceRequirements:
    """What a step needs, as the user writes it.

    Quantities are read when the pipeline is built, so that one report names every mistake.

    Attributes:
        cpu: Cores: `"500m"`, `"2.5"`, `4`.
        memory: `"16Gi"`, `"8192Mi"`, `"16G"`, or a number of bytes.
        storage: Disk for the job, in the same units.
        gpu: GPUs, all in one machine.
        node_affinity: Where the step may run.
    """

    cpu: Quantity | None = None
    memory: Quantity | None = None
    storage: Quantity | None = None
    gpu: GPUConfig | None = None
    node_affinity: NodeAffinity | None = None

    def merge_with(self, other: ResourceRequirements) -> ResourceRequirements:
        """The least resources that serve both.

        Raises:
            InvalidQuantityError, UnknownGpuError, AffinityConflictError: As their parts do.
        """
        return ResourceRequirements(
            cpu=_larger(self.cpu, other.cpu, exact_cpu),
            memory=_larger(self.memory, other.memory, exact_memory),
            storage=_larger(self.storage, other.storage, exact_memory),
            gpu=_either(self.gpu, other.gpu, GPUConfig.merge_with),
            node_affinity=_either(self.node_affinity, other.node_affinity, NodeAffinity.merge_with),
        )

    def problems(self) -> list[FlowymlError]:
        """Every mistake in these resources, each as an error."""
        found: list[FlowymlError] = []

        def check(read: Callable[[Any], object], value: object) -> None:
            try:
                read(value)
            except FlowymlError as error:
                found.append(error)

        for read, value in (
            (exact_cpu, self.cpu),
            (exact_memory, self.memory),
            (exact_memory, self.storage),
            (_check_kind(GPUConfig, "gpu"), self.gpu),
            (_check_kind(NodeAffinity, "node_affinity"), self.node_affinity),
        ):
            if value is not None:
                check(read, value)
        if isinstance(self.gpu, GPUConfig):
            check(parse_gpu_name, self.gpu.gpu_type)
            check(_check_gpu_count, self.gpu.count)
            if self.gpu.memory is not None:
                check(exact_memory, self.gpu.memory)
        return found

    def to_dict(self) -> dict[str, Any]:
        return {
            "cpu": self.cpu,
            "memory": self.memory,
            "storage": self.storage,
            "gpu": self.gpu.to_dict() if self.gpu else None,
            "node_affinity": self.node_affinity.to_dict() if self.node_affinity else None,
        }


def merge_resources(parts: Iterable[ResourceRequirements]) -> ResourceRequirements | None:
    """The least resources that serve every part, or None if there is no part."""
    return reduce(lambda a, b: a.merge_with(b), parts) if (parts := tuple(parts)) else None


def read_resources(
    given: ResourceRequirements | Mapping[str, Any] | None,
) -> ResourceRequirements | None:
    """Resources from what a step was given: the value itself, or a dict with the same keys.

    Raises:
        InvalidResourcesError: A key is unknown or has a value of the wrong kind.
    """
    if given is None or isinstance(given, ResourceRequirements):
        return given
    values = _known_keys(given, ResourceRequirements, "resources")
    if isinstance(gpu := values.get("gpu"), Mapping):
        # FlowyML writes the type under `type` in its dicts.
        if "gpu_type" not in gpu:
            gpu = {("gpu_type" if key == "type" else key): value for key, value in gpu.items()}
        values["gpu"] = GPUConfig(**_known_keys(gpu, GPUConfig, "gpu", needed=("gpu_type",)))
    if isinstance(affinity := values.get("node_affinity"), Mapping):
        values["node_affinity"] = NodeAffinity(
            **_known_keys(affinity, NodeAffinity, "node_affinity")
        )
    return ResourceRequirements(**values)


def _check_kind(kind: type, key: str) -> Callable[[object], None]:
    def check(value: object) -> None:
        if not isinstance(value, kind):
            raise InvalidResourcesError(
                what=f"`{key}` in resources is {value!r}",
                why=f"it must be a {kind.__name__} or a dict with its fields",
                fix=f"write {key}={kind.__name__}(…)",
            )

    return check


def _check_gpu_count(count: object) -> None:
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise InvalidResourcesError(
            what=f"{count!r} is no number of GPUs",
            why="a step needs at least one whole GPU, or none at all",
            fix="write a count of 1 or more, or leave `gpu` out",
        )


def _is_labels(given: object) -> bool:
    return isinstance(given, Mapping) and all(
        isinstance(text, str) for item in given.items() for text in item
    )


def _known_keys(
    given: Mapping[str, Any], kind: type, where: str, needed: Sequence[str] = ()
) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise InvalidResourcesError(
            what=f"{where} is {given!r}",
            why=f"it must be a {kind.__name__} or a dict with its fields",
            fix=f"write {kind.__name__}(…)",
        )
    known = [f.name for f in fields(kind)]
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            raise InvalidResourcesError(
                what=f"Unknown key {key!r} in {where}",
                why=f"the keys are {', '.join(known)}",
                fix=f"write {near[0]!r}" if near else "remove it",
            )
    for key in needed:
        if key not in given:
            raise InvalidResourcesError(
                what=f"{where} lacks the key {key!r}",
                why=f"it says nothing without it: {dict(given)!r}",
                fix=f"add {key!r}",
            )
    return dict(given)


def _winner(a: Value, b: Value, key: Callable[[Value], Any]) -> Value:
    if key(a) == key(b):
        return min(a, b, key=lambda value: (str(value), type(value).__name__))
    return max(a, b, key=key)


def _larger(
    a: Quantity | None, b: Quantity | None, amount: Callable[[Quantity], Any]
) -> Quantity | None:
    if a is None or b is None:
        return a if b is None else b
    return _winner(a, b, key=amount)


def _either(
    a: Value | None, b: Value | None, merge: Callable[[Value, Value], Value]
) -> Value | None:
    if a is None or b is None:
        return a if b is None else b
    return merge(a, b)
