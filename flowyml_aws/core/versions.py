"""A pipeline's definition at one moment, as a value, and how two of them differ."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from flowyml_aws.core.errors import InvalidPipelineError
from flowyml_aws.core.fingerprint import Fingerprinter
from flowyml_aws.core.graph import read_graph
from flowyml_aws.core.step import Step
from flowyml_aws.core.step_grouping import affinity_conflicts, group_steps

__all__ = ["Changes", "PipelineVersion", "VersionComparison", "compare", "describe_pipeline"]


@dataclass(frozen=True, slots=True)
class PipelineVersion:
    """A pipeline's definition under a version's name; everything in it is JSON.

    Attributes:
        created_at: ISO 8601, UTC.
        steps: Names, in running order.
        step_hashes: Step → fingerprint of its code.
        step_parts: Step → qualified name of a function, class or constant behind it → digest.
        wiring: Step → the names of its inputs and outputs.
        groups: Name of a group → its steps, for the groups that were asked for.
        resources: Step → what it asks for, or None.
        context_params: Name → value; one that JSON cannot hold is `{"repr": …, "type": …}`.
        metadata: What the user gave, kept in the same way.
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
    def from_dict(cls, given: Mapping[str, Any]) -> PipelineVersion:
        """The version that `to_dict` described.

        Raises:
            ValueError: A member is missing or of the wrong kind.
        """
        texts, names = ("version", "pipeline_name", "created_at"), {f.name for f in fields(cls)}
        if missing := sorted(names - given.keys()):
            raise ValueError(f"it lacks {', '.join(missing)}")
        for name in sorted(names):
            kind = str if name in texts else list if name == "steps" else dict
            if not isinstance(given[name], kind):
                raise ValueError(f"{name!r} is no {kind.__name__}")
        members = {name: given[name] for name in names}
        return cls(**{**members, "steps": tuple(given["steps"])})


def describe_pipeline(
    version: str,
    name: str,
    steps: Sequence[Step],
    context: Mapping[str, Any],
    created_at: datetime,
    metadata: Mapping[str, Any] | None = None,
) -> PipelineVersion:
    """A pipeline's definition now; assets that no step produces count as inputs of its runs.

    Raises:
        InvalidPipelineError: With every mistake found in the pipeline.
    """
    produced = {asset for step in steps for asset in step.assets}
    given = {asset for step in steps for asset in step.inputs} - produced
    graph, problems = read_graph(steps, given)
    if graph is not None:
        problems += affinity_conflicts(graph.steps)
    if graph is None or problems:
        raise InvalidPipelineError(name, problems)
    code = Fingerprinter()
    return PipelineVersion(
        version=version,
        pipeline_name=name,
        created_at=created_at.isoformat(),
        steps=tuple(step.name for step in graph.steps),
        step_hashes={step.name: code.fingerprint(step) for step in graph.steps},
        step_parts={step.name: code.parts(step) for step in graph.steps},
        wiring={
            step.name: {"inputs": list(step.inputs), "outputs": list(step.outputs)}
            for step in graph.steps
        },
        groups={
            group.group_name: group.execution_order
            for group in group_steps(graph.steps)
            if group.execution_group is not None
        },
        resources={
            step.name: needs.to_dict() if (needs := step.requirements()) else None
            for step in graph.steps
        },
        context_params={key: _kept(value) for key, value in context.items()},
        metadata={key: _kept(value) for key, value in (metadata or {}).items()},
    )


@dataclass(frozen=True, slots=True)
class Changes:
    """How one mapping became another.

    Attributes:
        added: Name → its value now.
        removed: Name → the value that it had.
        modified: Name → `{"old": …, "new": …}`.
    """

    added: Mapping[str, Any]
    removed: Mapping[str, Any]
    modified: Mapping[str, Mapping[str, Any]]

    @classmethod
    def between(cls, old: Mapping[str, Any], new: Mapping[str, Any]) -> Changes:
        """Names are sorted; None is as good as absent."""
        old = {name: old[name] for name in sorted(old) if old[name] is not None}
        new = {name: new[name] for name in sorted(new) if new[name] is not None}
        return cls(
            added={name: new[name] for name in new if name not in old},
            removed={name: old[name] for name in old if name not in new},
            modified={
                name: {"old": old[name], "new": new[name]}
                for name in new
                if name in old and _text(old[name]) != _text(new[name])
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
    """How a pipeline differs from a version of it; also read as a dict of plain values.

    Attributes:
        pipeline_name: Of both.
        current_version: The newer one's name.
        compared_to: The older one's name.
        added_steps: Names, sorted.
        removed_steps: Names, sorted.
        modified_steps: Names of the steps whose fingerprint is another, sorted.
        changed_parts: Modified step → functions, classes and constants behind it → digests.
        step_order_changed: The steps that both have run in another order.
        step_order: `old` and `new`: names of these steps in running order.
        wiring_changes: Inputs and outputs of the steps that both have.
        group_changes: Groups → their steps.
        resource_changes: Resources of the steps that both have.
        context_changes: Parameters.
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
        """Whether they differ at all."""
        return any(getattr(self, f.name) for f in fields(self)[3:] if f.name != "step_order")

    def to_dict(self) -> dict[str, Any]:
        """The same as plain lists and dicts: JSON."""
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
            lines += _shown(kind, changes)
        return "\n".join(lines if len(lines) > 1 else [*lines, "  no differences"])


def compare(new: PipelineVersion, old: PipelineVersion) -> VersionComparison:
    """What changed from the old one to the new one."""
    both = new.step_hashes.keys() & old.step_hashes.keys()
    modified = sorted(name for name in both if new.step_hashes[name] != old.step_hashes[name])
    order = {
        "old": [name for name in old.steps if name in both],
        "new": [name for name in new.steps if name in both],
    }

    def of_both(members: Mapping[str, Any]) -> dict[str, Any]:
        return {name: members[name] for name in members if name in both}

    return VersionComparison(
        pipeline_name=new.pipeline_name,
        current_version=new.version,
        compared_to=old.version,
        added_steps=tuple(sorted(new.step_hashes.keys() - both)),
        removed_steps=tuple(sorted(old.step_hashes.keys() - both)),
        modified_steps=tuple(modified),
        changed_parts={
            name: Changes.between(old.step_parts.get(name, {}), new.step_parts.get(name, {}))
            for name in modified
        },
        step_order_changed=order["old"] != order["new"],
        step_order=order,
        wiring_changes=Changes.between(of_both(old.wiring), of_both(new.wiring)),
        group_changes=Changes.between(old.groups, new.groups),
        resource_changes=Changes.between(of_both(old.resources), of_both(new.resources)),
        context_changes=Changes.between(old.context_params, new.context_params),
    )


def _shown(kind: str, changes: Changes) -> Iterator[str]:
    for name, value in changes.added.items():
        yield f"  + {kind} {name}: {_text(value)}"
    for name, value in changes.removed.items():
        yield f"  - {kind} {name}: {_text(value)}"
    for name, change in changes.modified.items():
        yield f"  ~ {kind} {name}: {_text(change['old'])} → {_text(change['new'])}"


def _plain(value: Any) -> Any:
    if isinstance(value, Changes):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {name: _plain(member) for name, member in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _kept(value: Any) -> Any:
    """A value itself if JSON gives it back, else what it looks like, marked."""
    try:
        copy = json.loads(json.dumps(value))
        if _same(copy, value):
            return copy
    except (TypeError, ValueError, RecursionError):
        pass  # nothing that JSON knows
    # An address would make it another value in every process.
    return {"repr": re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value)), "type": type(value).__name__}


def _same(a: Any, b: Any) -> bool:
    # 1, 1.0 and True are equal, and a tuple comes back as a list.
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
