"""Step groups: consecutive steps of one execution group, which run in one job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, chain, count, groupby, pairwise
from types import MappingProxyType

from flowyml_aws.core.domains import Place, find_places
from flowyml_aws.core.environment import merge_environments
from flowyml_aws.core.errors import (
    AffinityConflictError,
    FlowymlError,
    InvalidEnvironmentError,
    InvalidResourcesError,
    InvalidStepError,
)
from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.job_options import NO_OPTIONS, QUEUE_LABEL, JobOptions, merge_options
from flowyml_aws.core.resources import NodeAffinity, ResourceRequirements, merge_resources
from flowyml_aws.core.step import Step

__all__ = [
    "StepGroup",
    "StepGroupAnalyzer",
    "affinity_conflicts",
    "environment_conflicts",
    "group_steps",
    "option_conflicts",
    "parallel_steps",
    "split_items",
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
        options: Options of the job that the steps declare.
    """

    group_name: str
    steps: tuple[Step, ...]
    execution_group: str | None
    aggregated_resources: ResourceRequirements | None
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    options: JobOptions = NO_OPTIONS

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

    def replacing(self, steps: Mapping[str, Step]) -> StepGroup:
        """Return the group with other steps instead of those with their names."""
        if steps.keys().isdisjoint(self.execution_order):
            return self
        return replace(self, steps=tuple(steps.get(step.name, step) for step in self.steps))

    def with_steps(self, steps: Sequence[Step]) -> StepGroup:
        """Return the group with other steps, and their aggregated resources."""
        return replace(self, steps=tuple(steps), aggregated_resources=_aggregate(steps))


class StepGroupAnalyzer:
    """Finds the groups of a pipeline: `analyze_groups(pipeline.dag, pipeline.steps)`.

    They are those of `pipeline.step_groups`. FlowyML has a class of this name.
    """

    def analyze_groups(self, dag: StepGraph, steps: Iterable[Step]) -> list[StepGroup]:
        """Return the groups that steps declare, in running order.

        Args:
            dag: Graph of all steps of the pipeline.
            steps: Steps to group. The other steps of the graph only separate them.

        Raises:
            AffinityConflictError: Steps of one group require different values of a node label.
        """
        names = {step.name for step in steps}
        places = find_places(dag.steps, dag.reads, dag.producers)
        groups = group_steps(dag.steps, places)
        declared = [group.only(names) for group in groups if group.execution_group is not None]
        return [group for group in declared if group is not None]


def split_items(group: StepGroup, items_per_job: int) -> tuple[StepGroup, ...]:
    """Return groups with a number of items each, in order; the last one may have fewer.

    Args:
        group: Group of the items of mapped steps, item by item.
        items_per_job: Number of items of each group, 1 or more.
    """
    items = [tuple(steps) for _, steps in groupby(group.steps, key=_index)]
    if len(items) <= items_per_job:
        return (group,)
    parts = (items[start : start + items_per_job] for start in range(0, len(items), items_per_job))
    return tuple(
        replace(group, group_name=_name_of_items(group, part), steps=tuple(chain(*part)))
        for part in parts
    )


def _name_of_items(group: StepGroup, items: Sequence[tuple[Step, ...]]) -> str:
    first, last = _index(items[0][0]), _index(items[-1][0])
    return (
        f"{group.group_name}[{first}]" if first == last else f"{group.group_name}[{first}-{last}]"
    )


def group_steps(
    ordered: Sequence[Step], places: Mapping[str, Place] | None = None
) -> tuple[StepGroup, ...]:
    """Split a running order wherever the execution group changes, and after a dynamic step.

    A step without an execution group becomes a group of one step, named after the step. Mapped
    steps are in one group only if they can run item by item.

    Args:
        ordered: Steps in running order.
        places: Places of the mapped steps.

    Raises:
        AffinityConflictError: Steps of one group require different values of a node label.
    """
    runs = _consecutive(ordered, places or {})
    names = _names([(run[0].execution_group, run[0].name) for run in runs])
    return tuple(
        StepGroup(
            name,
            run,
            run[0].execution_group,
            _aggregate(run),
            merge_environments(*(step.env for step in run)),
            merge_environments(*(step.secrets for step in run)),
            merge_options(step.job for step in _declared(run)),
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
        if label != QUEUE_LABEL  # `option_conflicts` reports it
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


def option_conflicts(ordered: Sequence[Step]) -> list[FlowymlError]:
    """Return an error for each pair of grouped steps that declare different options of their job.

    A step without an option takes that of the others in its group.
    """
    return [
        InvalidStepError(
            what=f"Steps {first.name!r} and {second.name!r} declare different values of {name}: "
            f"{value} and {other}",
            why=f"both run in one job, in group {first.execution_group!r}",
            fix="use different execution groups, or the same value",
        )
        for first, second, name, value, other in _disagreements(ordered, _options)
    ]


def _options(step: Step) -> Mapping[str, str]:
    labels = _required_labels(step)
    queue = {"queue": labels[QUEUE_LABEL]} if QUEUE_LABEL in labels else {}
    return step.job.values() | queue


def _variables(step: Step) -> Mapping[str, str]:
    secrets = merge_environments(step.secrets)
    # A secret differs from every value.
    return merge_environments(step.env) | {name: f"secret {secrets[name]}" for name in secrets}


def _disagreements(
    ordered: Sequence[Step], values_of: Callable[[Step], Mapping[str, str]]
) -> Iterator[tuple[Step, Step, str, str, str]]:
    """Yield grouped steps that give a name different values: both steps, the name, both values."""
    for run in _consecutive(ordered):
        if len(run) == 1:
            continue
        firsts: dict[str, tuple[Step, str]] = {}
        for step in run:
            for name, value in values_of(step).items():
                first, other = firsts.setdefault(name, (step, value))
                if other != value:
                    yield first, step, name, other, value


def parallel_steps(group: StepGroup, graph: StepGraph) -> list[tuple[str, str]]:
    """Return pairs of consecutive steps of a group that could run in parallel.

    In a running order, consecutive steps can only be connected by a direct edge. So a pair is
    returned if and only if the group is not a chain. Steps of different items never are one.
    """
    return [
        (before.name, after.name)
        for before, after in pairwise(group.steps)
        if before.name not in graph.parents[after.name] and _index(before) == _index(after)
    ]


def _index(step: Step) -> int | None:
    return None if step.item is None else step.item.index


def _consecutive(
    ordered: Sequence[Step], places: Mapping[str, Place] = MappingProxyType({})
) -> list[tuple[Step, ...]]:
    # A dynamic step is the last one of its job: what follows may wait for its pipeline.
    dynamic_before = accumulate((step.is_dynamic for step in ordered), initial=0)
    # An ungrouped step uses its position as the key: an int never equals a group name.
    runs = groupby(
        zip(range(len(ordered)), ordered, dynamic_before, strict=False),
        key=lambda item: (item[1].execution_group or item[0], places.get(item[1].name), item[2]),
    )
    return [tuple(step for _, step, _ in run) for _, run in runs]


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
    return merge_resources(
        needs for step in _declared(run) if (needs := step.requirements()) is not None
    )


def _declared(run: Collection[Step]) -> Collection[Step]:
    """Return one step of each map: all items have the same declaration."""
    return {step.declared_name: step for step in run}.values()
