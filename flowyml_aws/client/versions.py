"""Versions of a pipeline: its definition as a value, and the comparison of two of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from flowyml_aws.caching.fingerprint import Fingerprinter
from flowyml_aws.core.decision_places import grouped_steps, place_decisions
from flowyml_aws.core.errors import InvalidPipelineError
from flowyml_aws.core.graph import read_graph
from flowyml_aws.core.step import Step
from flowyml_aws.core.step_grouping import affinity_conflicts, group_steps, option_conflicts

__all__ = ["Changes", "PipelineVersion", "VersionComparison", "compare", "describe_pipeline"]


@dataclass(frozen=True, slots=True)
class PipelineVersion:
    """A pipeline's definition under a version name, as JSON values.

    Attributes:
        created_at: Time of creation: ISO 8601, UTC.
        steps: Names of the steps, in running order.
        step_hashes: Step → fingerprint of its code.
        step_parts: Step → qualified name of each function, class or constant it uses → digest.
        wiring: Step → the names of its inputs and outputs.
        groups: Name of a declared execution group → its steps.
        resources: Step → its resource requirements, or None.
        context_params: Name → value; values that are not JSON become `{"repr": …, "type": …}`.
        metadata: The user's metadata, stored in the same way.
    """

    version: str
    pipeline_name: str
    created_at: str
    steps: tuple[str, ...]
    step_hashes: Mapping[str, str]
    step_parts: Mapping[str, Mapping[str, str]]
    wiring: Mapping[str, Mapping[str, Sequence[str]]]
    groups: Mapping[str, Sequence[str]]
    resources: Mapping[str, Mapping[str, Any] | None]
    context_params: Mapping[str, Any]
    metadata: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "steps": list(self.steps)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> PipelineVersion:
        """Return the version from the result of `to_dict`.

        Raises:
            ValueError: A field is missing or has the wrong type.
        """
        strings, names = ("version", "pipeline_name", "created_at"), {f.name for f in fields(cls)}
        if missing := sorted(names - document.keys()):
            raise ValueError(f"missing fields: {', '.join(missing)}")
        for name in sorted(names):
            kind = str if name in strings else list if name == "steps" else dict
            if not isinstance(document[name], kind):
                raise ValueError(f"field {name!r} must be a {kind.__name__}")
        members = {name: document[name] for name in names}
        return cls(**{**members, "steps": tuple(document["steps"])})


def describe_pipeline(
    version: str,
    name: str,
    steps: Sequence[Step],
    context: Mapping[str, Any],
    created_at: datetime,
    metadata: Mapping[str, Any] | None = None,
) -> PipelineVersion:
    """Return a pipeline's current definition; assets without a producer are external inputs.

    Raises:
        InvalidPipelineError: The pipeline has mistakes; the error lists all of them.
    """
    produced = {asset for step in steps for asset in step.assets}
    known = produced | {step.name for step in steps}
    external_inputs = {asset for step in steps for asset in step.inputs} - produced
    external_inputs |= {asset for step in steps for asset in step.after} - known
    graph, problems = read_graph(steps, external_inputs)
    if graph is not None:
        grouped = grouped_steps(graph.steps, graph.parents)
        problems += affinity_conflicts(grouped) + option_conflicts(grouped)
    if graph is None or problems:
        raise InvalidPipelineError(name, problems)
    fingerprinter = Fingerprinter()
    return PipelineVersion(
        version=version,
        pipeline_name=name,
        created_at=created_at.isoformat(),
        steps=tuple(step.name for step in graph.steps),
        step_hashes={step.name: fingerprinter.fingerprint(step) for step in graph.steps},
        step_parts={step.name: fingerprinter.parts(step) for step in graph.steps},
        wiring={
            step.name: {
                "inputs": list(step.inputs),
                "outputs": list(step.outputs),
                **({"after": list(step.after)} if step.after else {}),
                **(
                    {"branch": [step.branch.decision, step.branch.case]}
                    if step.branch is not None
                    else {}
                ),
                **({"cases": list(step.cases)} if step.cases else {}),
            }
            for step in graph.steps
        },
        groups={
            group.group_name: group.execution_order
            for group in place_decisions(group_steps(grouped), graph)
            if group.execution_group is not None
        },
        resources={
            step.name: needs.to_dict() if (needs := step.requirements()) else None
            for step in graph.steps
        },
        context_params={key: _json_or_repr(value) for key, value in context.items()},
        metadata={key: _json_or_repr(value) for key, value in (metadata or {}).items()},
    )


@dataclass(frozen=True, slots=True)
class Changes:
    """The differences between two mappings.

    Attributes:
        added: Name → new value.
        removed: Name → old value.
        modified: Name → `{"old": …, "new": …}`.
    """

    added: Mapping[str, Any]
    removed: Mapping[str, Any]
    modified: Mapping[str, Mapping[str, Any]]

    @classmethod
    def between(cls, old: Mapping[str, Any], new: Mapping[str, Any]) -> Changes:
        """Compare two mappings; names are sorted, and None means absent."""
        old = {name: old[name] for name in sorted(old) if old[name] is not None}
        new = {name: new[name] for name in sorted(new) if new[name] is not None}
        return cls(
            added={name: new[name] for name in new if name not in old},
            removed={name: old[name] for name in old if name not in new},
            modified={
                name: {"old": old[name], "new": new[name]}
                for name in new
                if name in old and _json(old[name]) != _json(new[name])
            },
        )

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.modified)

    def to_dict(self) -> dict[str, Any]:
        return {
            "added": dict(self.added),
            "removed": dict(self.removed),
            "modified": {name: dict(change) for name, change in self.modified.items()},
        }


@dataclass(frozen=True, slots=True, eq=False)
class VersionComparison(Mapping[str, Any]):
    """The differences between two versions of a pipeline; also a mapping of plain values.

    Attributes:
        pipeline_name: Name of the pipeline.
        current_version: Name of the newer version.
        compared_to: Name of the older version.
        added_steps: Names of the added steps, sorted.
        removed_steps: Names of the removed steps, sorted.
        modified_steps: Names of the steps with a different fingerprint, sorted.
        changed_parts: Modified step → changed functions, classes and constants that it uses.
        step_order_changed: Whether the common steps run in a different order.
        step_order: `old` and `new`: names of the common steps in running order.
        wiring_changes: Changed inputs and outputs of the common steps.
        group_changes: Changed execution groups, with their steps.
        resource_changes: Changed resources of the common steps.
        context_changes: Changed context values.
    """

    pipeline_name: str
    current_version: str
    compared_to: str
    added_steps: tuple[str, ...]
    removed_steps: tuple[str, ...]
    modified_steps: tuple[str, ...]
    changed_parts: Mapping[str, Changes]
    step_order_changed: bool
    step_order: Mapping[str, Sequence[str]]
    wiring_changes: Changes
    group_changes: Changes
    resource_changes: Changes
    context_changes: Changes

    @property
    def changed(self) -> bool:
        """Return whether there is any difference."""
        return any(getattr(self, f.name) for f in fields(self)[3:] if f.name != "step_order")

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON values: plain lists and dicts."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}

    def __getitem__(self, name: str) -> Any:
        return self.to_dict()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(f.name for f in fields(self))

    def __len__(self) -> int:
        return len(fields(self))

    def __str__(self) -> str:
        lines = [f"{self.pipeline_name}: {self.current_version} compared with {self.compared_to}"]
        lines += [f"  + step {name}" for name in self.added_steps]
        lines += [f"  - step {name}" for name in self.removed_steps]
        for name in self.modified_steps:
            lines.append(f"  ~ step {name}")
            parts = self.changed_parts[name]
            lines += [f"      + {part}" for part in parts.added]
            lines += [f"      - {part}" for part in parts.removed]
            lines += [f"      ~ {part}" for part in parts.modified]
        if self.step_order_changed:
            orders = (", ".join(self.step_order[age]) for age in ("old", "new"))
            lines.append(f"  ~ order: {' → '.join(orders)}")
        for kind, changes in (
            ("wiring of", self.wiring_changes),
            ("group", self.group_changes),
            ("resources of", self.resource_changes),
            ("context", self.context_changes),
        ):
            lines += _change_lines(kind, changes)
        return "\n".join(lines if len(lines) > 1 else [*lines, "  no differences"])


def compare(new: PipelineVersion, old: PipelineVersion) -> VersionComparison:
    """Return the differences from the old version to the new one."""
    common = new.step_hashes.keys() & old.step_hashes.keys()
    modified = sorted(name for name in common if new.step_hashes[name] != old.step_hashes[name])
    order = {
        "old": [name for name in old.steps if name in common],
        "new": [name for name in new.steps if name in common],
    }

    def of_common(members: Mapping[str, Any]) -> dict[str, Any]:
        return {name: members[name] for name in members if name in common}

    return VersionComparison(
        pipeline_name=new.pipeline_name,
        current_version=new.version,
        compared_to=old.version,
        added_steps=tuple(sorted(new.step_hashes.keys() - common)),
        removed_steps=tuple(sorted(old.step_hashes.keys() - common)),
        modified_steps=tuple(modified),
        changed_parts={
            name: Changes.between(old.step_parts.get(name, {}), new.step_parts.get(name, {}))
            for name in modified
        },
        step_order_changed=order["old"] != order["new"],
        step_order=order,
        wiring_changes=Changes.between(of_common(old.wiring), of_common(new.wiring)),
        group_changes=Changes.between(old.groups, new.groups),
        resource_changes=Changes.between(of_common(old.resources), of_common(new.resources)),
        context_changes=Changes.between(old.context_params, new.context_params),
    )


def _change_lines(kind: str, changes: Changes) -> Iterator[str]:
    for name, value in changes.added.items():
        yield f"  + {kind} {name}: {_json(value)}"
    for name, value in changes.removed.items():
        yield f"  - {kind} {name}: {_json(value)}"
    for name, change in changes.modified.items():
        yield f"  ~ {kind} {name}: {_json(change['old'])} → {_json(change['new'])}"


def _plain(value: Any) -> Any:
    if isinstance(value, Changes):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {name: _plain(member) for name, member in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _json_or_repr(value: Any) -> Any:
    """Return the value if JSON preserves it, otherwise a mapping with its repr and type."""
    try:
        copy = json.loads(json.dumps(value))
        if _same(copy, value):
            return copy
    except (TypeError, ValueError, RecursionError):
        pass  # not a JSON value
    # Addresses differ between processes.
    return {"repr": re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value)), "type": type(value).__name__}


def _same(a: Any, b: Any) -> bool:
    # 1, 1.0 and True are equal, and JSON turns a tuple into a list.
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
