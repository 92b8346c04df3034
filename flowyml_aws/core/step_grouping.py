"""Consecutive steps of one execution group, as groups that run in one job each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, groupby, pairwise

from flowyml_aws.core.errors import AffinityConflictError, FlowymlError, InvalidResourcesError
from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.resources import NodeAffinity, ResourceRequirements, merge_resources
from flowyml_aws.core.step import Step

__all__ = ["StepGroup", "affinity_conflicts", "group_steps", "parallel_steps"]


@dataclass(frozen=True, slots=True)
class StepGroup:
    """Steps that run in order inside one job.

    Attributes:
        group_name: The execution group; `<group>_0`, `<group>_1`, … where it was split.
        steps: In running order.
        execution_group: What the user wrote, or None for a step on its own.
        aggregated_resources: The least resources that serve every step, or None if none asks.
    """

    group_name: str
    steps: tuple[Step, ...]
    execution_group: str | None
    aggregated_resources: ResourceRequirements | None

    @property
    def execution_order(self) -> list[str]:
        """Names of the steps, in running order."""
        return [step.name for step in self.steps]

    def only(self, names: Collection[str]) -> StepGroup | None:
        """The group with some of its steps, and what these need; None where none is left."""
        left = tuple(step for step in self.steps if step.name in names)
        if len(left) == len(self.steps):
            return self
        return replace(self, steps=left, aggregated_resources=_aggregate(left)) if left else None


def group_steps(ordered: Sequence[Step]) -> tuple[StepGroup, ...]:
    """Cut a running order wherever the execution group changes; every step is in one group.

    A step without an execution group is a group of its own, named after the step.

    Raises:
        AffinityConflictError: Steps of one group require different values of a node label.
    """
    runs = _consecutive(ordered)
    names = _names([(run[0].execution_group, run[0].name) for run in runs])
    return tuple(
        StepGroup(name, run, run[0].execution_group, _aggregate(run))
        for name, run in zip(names, runs, strict=True)
    )


def affinity_conflicts(ordered: Sequence[Step]) -> list[FlowymlError]:
    """An error for each two steps of one group that require different values of one label."""
    found: list[FlowymlError] = []
    for run in _consecutive(ordered):
        first: dict[str, tuple[str, str]] = {}
        for step in run:
            for label, value in _required_labels(step).items():
                other, wanted = first.setdefault(label, (step.name, value))
                if wanted != value:
                    found.append(
                        AffinityConflictError(
                            what=f"Steps {other!r} and {step.name!r} require different values of "
                            f"node label {label!r}: {wanted!r} and {value!r}",
                            why=f"both are in group {step.execution_group!r}: one machine for both",
                            fix="give them different execution groups, or the same label value",
                        )
                    )
    return found


def parallel_steps(group: StepGroup, graph: StepGraph) -> list[tuple[str, str]]:
    """Neighbours of a group that could run in parallel: neither waits for the other.

    In a running order two neighbours are connected only by a direct edge, so this finds a pair if
    and only if the group is no chain.
    """
    return [
        (before.name, after.name)
        for before, after in pairwise(group.steps)
        if before.name not in graph.parents[after.name]
    ]


def _consecutive(ordered: Sequence[Step]) -> list[tuple[Step, ...]]:
    # A step without a group gets its position instead: an int never equals a group's name.
    runs = groupby(enumerate(ordered), key=lambda at: at[1].execution_group or at[0])
    return [tuple(step for _, step in run) for _, run in runs]


def _names(runs: Sequence[tuple[str | None, str]]) -> Iterator[str]:
    """A unique name for each run, given as execution group and first step."""
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
        return {}  # told by the step itself
    affinity = needs.node_affinity if needs else None
    return affinity.required if isinstance(affinity, NodeAffinity) else {}


def _aggregate(run: Collection[Step]) -> ResourceRequirements | None:
    return merge_resources(needs for step in run if (needs := step.requirements()) is not None)
