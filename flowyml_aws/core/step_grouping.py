"""Step groups: consecutive steps of one execution group, which run in one job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, groupby, pairwise

from flowyml_aws.core.environment import merge_environments
from flowyml_aws.core.errors import (
    AffinityConflictError,
    FlowymlError,
    InvalidEnvironmentError,
    InvalidResourcesError,
)
from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.resources import NodeAffinity, ResourceRequirements, merge_resources
from flowyml_aws.core.step import Step

__all__ = [
    "StepGroup",
    "affinity_conflicts",
    "environment_conflicts",
    "group_steps",
    "parallel_steps",
]


@dataclass(frozen=True, slots=True)
class StepGroup:
    """Steps that run in order in one job.

    Attributes:
        group_name: Name of the execution group; `<group>_0`, `<group>_1`, … if it was split.
        steps: Steps in running order.
        execution_group: Execution group as declared, or None for a single step.
        aggregated_resources: Smallest resources that satisfy every step, or None if no step has
            requirements.
        environment: Environment variables that the steps declare, also those that do not run.
        secrets: References to the secrets that the steps declare, by environment variable.
    """

    group_name: str
    steps: tuple[Step, ...]
    execution_group: str | None
    aggregated_resources: ResourceRequirements | None
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)

    @property
    def execution_order(self) -> list[str]:
        """Names of the steps, in running order."""
        return [step.name for step in self.steps]

    def only(self, names: Collection[str]) -> StepGroup | None:
        """Return the group with only these of its steps, or None if no step remains."""
        kept = tuple(step for step in self.steps if step.name in names)
        if len(kept) == len(self.steps):
            return self
        return self.with_steps(kept) if kept else None

    def with_steps(self, steps: Sequence[Step]) -> StepGroup:
        """Return the group with other steps, and their aggregated resources."""
        return replace(self, steps=tuple(steps), aggregated_resources=_aggregate(steps))


def group_steps(ordered: Sequence[Step]) -> tuple[StepGroup, ...]:
    """Split a running order wherever the execution group changes.

    A step without an execution group becomes a group of one step, named after the step.

    Raises:
        AffinityConflictError: Steps of one group require different values of a node label.
    """
    runs = _consecutive(ordered)
    names = _names([(run[0].execution_group, run[0].name) for run in runs])
    return tuple(
        StepGroup(
            name,
            run,
            run[0].execution_group,
            _aggregate(run),
            merge_environments(*(step.env for step in run)),
            merge_environments(*(step.secrets for step in run)),
        )
        for name, run in zip(names, runs, strict=True)
    )


def affinity_conflicts(ordered: Sequence[Step]) -> list[FlowymlError]:
    """Return an error for each pair of grouped steps that require different values of a label."""
    return [
        AffinityConflictError(
            what=f"Steps {first.name!r} and {second.name!r} require different values of "
            f"node label {label!r}: {value!r} and {other!r}",
            why=f"both run on one machine, in group {first.execution_group!r}",
            fix="use different execution groups, or require the same value",
        )
        for first, second, label, value, other in _disagreements(ordered, _required_labels)
    ]


def environment_conflicts(ordered: Sequence[Step]) -> list[FlowymlError]:
    """Return an error for each pair of grouped steps that give a variable different values."""
    return [
        InvalidEnvironmentError(
            what=f"Steps {first.name!r} and {second.name!r} give environment variable {name!r} "
            "different values",
            why=f"both run in one process, in group {first.execution_group!r}",
            fix="use different execution groups, or the same value",
        )
        for first, second, name, _, _ in _disagreements(ordered, _variables)
    ]


def _variables(step: Step) -> Mapping[str, str]:
    secrets = merge_environments(step.secrets)
    # A secret differs from every value.
    return merge_environments(step.env) | {name: f"secret {secrets[name]}" for name in secrets}


def _disagreements(
    ordered: Sequence[Step], values_of: Callable[[Step], Mapping[str, str]]
) -> Iterator[tuple[Step, Step, str, str, str]]:
    """Yield grouped steps that give a name different values: both steps, the name, both values."""
    for run in _consecutive(ordered):
        firsts: dict[str, tuple[Step, str]] = {}
        for step in run:
            for name, value in values_of(step).items():
                first, other = firsts.setdefault(name, (step, value))
                if other != value:
                    yield first, step, name, other, value


def parallel_steps(group: StepGroup, graph: StepGraph) -> list[tuple[str, str]]:
    """Return pairs of consecutive steps of a group that could run in parallel.

    In a running order, consecutive steps can only be connected by a direct edge. So a pair is
    returned if and only if the group is not a chain.
    """
    return [
        (before.name, after.name)
        for before, after in pairwise(group.steps)
        if before.name not in graph.parents[after.name]
    ]


def _consecutive(ordered: Sequence[Step]) -> list[tuple[Step, ...]]:
    # An ungrouped step uses its position as the key: an int never equals a group name.
    runs = groupby(enumerate(ordered), key=lambda item: item[1].execution_group or item[0])
    return [tuple(step for _, step in run) for _, run in runs]


def _names(runs: Sequence[tuple[str | None, str]]) -> Iterator[str]:
    """Yield a unique name for each group, from its execution group and its first step."""
    parts = Counter(group for group, _ in runs if group is not None)
    taken = set(parts)
    numbers: dict[str, Iterator[int]] = {}
    for group, step in runs:
        if group is not None and parts[group] == 1:
            yield group
            continue
        if group is None and step not in taken:
            name = step
        else:
            stem = group or step
            candidates = (f"{stem}_{number}" for number in numbers.setdefault(stem, count()))
            name = next(candidate for candidate in candidates if candidate not in taken)
        taken.add(name)
        yield name


def _required_labels(step: Step) -> Mapping[str, str]:
    try:
        needs = step.requirements()
    except InvalidResourcesError:
        return {}  # reported by `Step.problems`
    affinity = needs.node_affinity if needs else None
    return affinity.required if isinstance(affinity, NodeAffinity) else {}


def _aggregate(run: Collection[Step]) -> ResourceRequirements | None:
    return merge_resources(needs for step in run if (needs := step.requirements()) is not None)
