"""Resource requirements of steps, and merging them for the steps of a group.

Every merge takes the maximum, and keeps the user's spelling of it. Merges are associative,
commutative and idempotent: of two spellings of the same amount, the alphabetically first is kept.
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

__all__ = [
    "MOST_NODES",
    "GPUConfig",
    "NodeAffinity",
    "ResourceRequirements",
    "merge_resources",
    "read_resources",
    "resources",
]

MOST_NODES = 1000
"""Most nodes of a job on AWS Batch by default ("Node groups" in its user guide)."""

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class GPUConfig:
    """GPUs of one type.

    Attributes:
        gpu_type: Name, such as `nvidia-a100`, `a100-80gb` or `T4`.
        count: Number of GPUs in one machine, at least 1.
        memory: Minimum memory per GPU, such as `"40Gi"`.
    """

    gpu_type: str
    count: int = 1
    memory: Quantity | None = None

    def merge_with(self, other: GPUConfig) -> GPUConfig:
        """Return the better type with the larger count and the larger memory per GPU.

        Memory that the weaker type's name states (`l40s-48gb`) is also required of the better one.

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
        """Return the fields as JSON values, spelled as they were declared."""
        return {"type": self.gpu_type, "count": self.count, "memory": self.memory}


@dataclass(frozen=True, slots=True)
class NodeAffinity:
    """Constraints on the targets of a step, in Kubernetes terms.

    Attributes:
        required: Labels that the target must have.
        preferred: Labels that rank the remaining targets.
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
                    what=f"Invalid `{name}` in NodeAffinity: {getattr(self, name)!r}",
                    why="labels and tolerations must map strings to strings",
                    fix='write {"label": "value"} (quote numbers); tolerations are a list of these',
                )
        unique = {tuple(sorted(toleration.items())) for toleration in self.tolerations}
        object.__setattr__(self, "tolerations", tuple(dict(items) for items in sorted(unique)))

    def merge_with(self, other: NodeAffinity) -> NodeAffinity:
        """Return the union of both.

        Of two preferred values of a label, the alphabetically first is kept.

        Raises:
            AffinityConflictError: They require different values of a label.
        """
        for label in sorted(self.required.keys() & other.required.keys()):
            if self.required[label] != other.required[label]:
                values = sorted((self.required[label], other.required[label]))
                raise AffinityConflictError(
                    what=f"Conflict on node label {label!r}: {values[0]!r} and {values[1]!r}",
                    why="the steps run on one machine, which has only one value for a label",
                    fix="use different execution groups, or require the same value",
                )
        preferred = dict(sorted((*self.preferred.items(), *other.preferred.items()), reverse=True))
        return NodeAffinity(
            required={**self.required, **other.required},
            preferred=preferred,
            tolerations=(*self.tolerations, *other.tolerations),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values, spelled as they were declared."""
        return {
            "required": dict(self.required),
            "preferred": dict(self.preferred),
            "tolerations": [dict(toleration) for toleration in self.tolerations],
        }


@dataclass(frozen=True, slots=True)
class ResourceRequirements:
    """The resource requirements of a step, as the user writes them.

    Quantities are parsed when the pipeline is built, so that one report contains all mistakes.

    Attributes:
        cpu: CPU cores: `"500m"`, `"2.5"`, `4`.
        memory: Memory: `"16Gi"`, `"8192Mi"`, `"16G"`, or a number of bytes.
        storage: Disk space of the job, in the same units.
        gpu: GPUs, all in one machine.
        node_affinity: Constraints on the targets.
        nodes: Number of machines; each of them has all of the above. The step runs on all of them
            at once, from 1 to 1000. None is one machine.
    """

    cpu: Quantity | None = None
    memory: Quantity | None = None
    storage: Quantity | None = None
    gpu: GPUConfig | None = None
    node_affinity: NodeAffinity | None = None
    nodes: int | None = None

    def merge_with(self, other: ResourceRequirements) -> ResourceRequirements:
        """Return the smallest resources that satisfy both.

        Raises:
            InvalidQuantityError, UnknownGpuError, AffinityConflictError: A part cannot be merged.
        """
        return ResourceRequirements(
            cpu=_larger(self.cpu, other.cpu, exact_cpu),
            memory=_larger(self.memory, other.memory, exact_memory),
            storage=_larger(self.storage, other.storage, exact_memory),
            gpu=_either(self.gpu, other.gpu, GPUConfig.merge_with),
            node_affinity=_either(self.node_affinity, other.node_affinity, NodeAffinity.merge_with),
            nodes=_either(self.nodes, other.nodes, max),
        )

    def problems(self) -> list[FlowymlError]:
        """Return an error for each mistake in these resources."""
        problems: list[FlowymlError] = []

        def check(read: Callable[[Any], object], value: object) -> None:
            try:
                read(value)
            except FlowymlError as error:
                problems.append(error)

        for read, value in (
            (exact_cpu, self.cpu),
            (exact_memory, self.memory),
            (exact_memory, self.storage),
            (_check_kind(GPUConfig, "gpu"), self.gpu),
            (_check_kind(NodeAffinity, "node_affinity"), self.node_affinity),
            (_check_nodes, self.nodes),
        ):
            if value is not None:
                check(read, value)
        if isinstance(self.gpu, GPUConfig):
            check(parse_gpu_name, self.gpu.gpu_type)
            check(_check_gpu_count, self.gpu.count)
            if self.gpu.memory is not None:
                check(exact_memory, self.gpu.memory)
        return problems

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values, spelled as they were declared."""
        return {
            "cpu": self.cpu,
            "memory": self.memory,
            "storage": self.storage,
            "gpu": self.gpu.to_dict() if self.gpu else None,
            "node_affinity": self.node_affinity.to_dict() if self.node_affinity else None,
            "nodes": self.nodes,
        }


def merge_resources(parts: Iterable[ResourceRequirements]) -> ResourceRequirements | None:
    """Return the smallest resources that satisfy every part, or None if there are no parts."""
    return reduce(lambda a, b: a.merge_with(b), parts) if (parts := tuple(parts)) else None


def resources(
    cpu: Quantity | None = None,
    memory: Quantity | None = None,
    storage: Quantity | None = None,
    gpu: GPUConfig | None = None,
    node_affinity: NodeAffinity | None = None,
    nodes: int | None = None,
) -> ResourceRequirements:
    """Return the resource requirements of a step: `resources(cpu="2", memory="4Gi")`.

    The arguments are the attributes of `ResourceRequirements`.
    """
    return ResourceRequirements(cpu, memory, storage, gpu, node_affinity, nodes)


def read_resources(
    declared: ResourceRequirements | Mapping[str, Any] | None,
) -> ResourceRequirements | None:
    """Return a step's declared resources, which can also be a dict with the same keys.

    Raises:
        InvalidResourcesError: A key is unknown or has a value of the wrong type.
    """
    if declared is None or isinstance(declared, ResourceRequirements):
        return declared
    values = _known_keys(declared, ResourceRequirements, "resources")
    if isinstance(gpu := values.get("gpu"), Mapping):
        # FlowyML's dicts have the type under the key `type`.
        if "gpu_type" not in gpu:
            gpu = {("gpu_type" if key == "type" else key): value for key, value in gpu.items()}
        values["gpu"] = GPUConfig(**_known_keys(gpu, GPUConfig, "gpu", required=("gpu_type",)))
    if isinstance(affinity := values.get("node_affinity"), Mapping):
        values["node_affinity"] = NodeAffinity(
            **_known_keys(affinity, NodeAffinity, "node_affinity")
        )
    return ResourceRequirements(**values)


def _check_kind(kind: type, key: str) -> Callable[[object], None]:
    def check(value: object) -> None:
        if not isinstance(value, kind):
            raise InvalidResourcesError(
                what=f"Invalid `{key}` in resources: {value!r}",
                why=f"it must be a {kind.__name__} or a dict with its fields",
                fix=f"write {key}={kind.__name__}(…)",
            )

    return check


def _check_gpu_count(count: object) -> None:
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise InvalidResourcesError(
            what=f"Invalid GPU count {count!r}",
            why="a step gets whole GPUs, so the count must be an integer of at least 1",
            fix="write a count of 1 or more, or omit `gpu`",
        )


def _check_nodes(nodes: object) -> None:
    if not isinstance(nodes, int) or isinstance(nodes, bool) or not 1 <= nodes <= MOST_NODES:
        raise InvalidResourcesError(
            what=f"Invalid number of nodes {nodes!r}",
            why=f"a step runs on a whole number of machines, from 1 to {MOST_NODES}",
            fix="write a whole number, or omit `nodes` for one machine",
        )


def _is_labels(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(text, str) for item in value.items() for text in item
    )


def _known_keys(
    mapping: Mapping[str, Any], kind: type, where: str, required: Sequence[str] = ()
) -> dict[str, Any]:
    if not isinstance(mapping, Mapping):
        raise InvalidResourcesError(
            what=f"Invalid {where}: {mapping!r}",
            why=f"it must be a {kind.__name__} or a dict with its fields",
            fix=f"write {kind.__name__}(…)",
        )
    known = [f.name for f in fields(kind)]
    for key in mapping:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            raise InvalidResourcesError(
                what=f"Unknown key {key!r} in {where}",
                why=f"the keys are {', '.join(known)}",
                fix=f"did you mean {near[0]!r}?" if near else "remove it",
            )
    for key in required:
        if key not in mapping:
            raise InvalidResourcesError(
                what=f"Missing key {key!r} in {where}",
                why=f"the key is required, got {dict(mapping)!r}",
                fix=f"add {key!r}",
            )
    return dict(mapping)


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
