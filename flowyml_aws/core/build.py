"""Construction of a pipeline that can be planned: its graph and its groups."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from flowyml_aws.core.approval_steps import approval_problems
from flowyml_aws.core.binding import BoundStep
from flowyml_aws.core.decision_places import grouped_steps, place_decisions
from flowyml_aws.core.domains import find_places
from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.core.expansion import expand
from flowyml_aws.core.gated_graph import with_gates
from flowyml_aws.core.graph import StepGraph, order_steps
from flowyml_aws.core.maps import EarlierLength
from flowyml_aws.core.shared_assets import with_assets_of_branches
from flowyml_aws.core.step import Step
from flowyml_aws.core.step_grouping import (
    StepGroup,
    affinity_conflicts,
    environment_conflicts,
    group_steps,
    option_conflicts,
)

__all__ = ["BuiltPipeline", "build_pipeline", "expand_maps", "lists_in"]


@dataclass(frozen=True, slots=True)
class BuiltPipeline:
    """The steps of a pipeline in order, and in groups.

    Attributes:
        groups: All groups in running order; a step without an execution group is a group of one.
        declared: Graph of the steps as declared, if mapped steps were expanded into their items.
        items: Values of the external inputs of items, if they are known.
        length_runs: Run that had the assumed number of items, by mapped step.
        cases: Cases of the decisions that are made already, and that are not in the graph.
    """

    graph: StepGraph
    groups: tuple[StepGroup, ...]
    declared: StepGraph
    items: Mapping[str, Any] = field(default_factory=dict)
    length_runs: Mapping[str, str] = field(default_factory=dict)
    cases: Mapping[str, str] = field(default_factory=dict)

    @property
    def empty_maps(self) -> tuple[Step, ...]:
        """Mapped steps whose list is empty, so that they are not in the expanded graph."""
        with_items = {step.declared_name for step in self.graph.steps}
        mapped = (step for step in self.declared.steps if step.mapping is not None)
        return tuple(step for step in mapped if step.name not in with_items)


def lists_in(
    context: Collection[str], steps: Sequence[Step], inputs: Collection[str] = ()
) -> frozenset[str]:
    """Return the context values that steps map over, or that sub-pipelines have as inputs.

    Args:
        context: Names in the context.
        steps: Steps of a pipeline.
        inputs: Names of the external inputs, which come before the context.
    """
    produced = {asset for step in steps for asset in step.assets}
    names = {name for step in steps if step.mapping is not None for name in step.mapping.over}
    names.update(name for step in steps if step.scope is not None for name in step.inputs)
    return frozenset(names.intersection(context).difference(produced, inputs))


def build_pipeline(
    steps: Sequence[BoundStep], inputs: Collection[str], context: Collection[str] = ()
) -> tuple[BuiltPipeline | None, list[FlowymlError]]:
    """Order and group steps. Return None and all mistakes if there are any.

    Args:
        steps: Steps in declaration order, with their arguments.
        inputs: Names of the external inputs, and of the context values of `lists_in`.
        context: Names in the context, to suggest them for a list that does not exist.
    """
    graph, problems = order_steps(steps, inputs, context)
    problems += approval_problems([each.step for each in steps])
    if graph is None:
        return None, problems
    grouped = grouped_steps(graph.steps, graph.parents)
    problems += affinity_conflicts(grouped) + environment_conflicts(grouped)
    problems += option_conflicts(grouped)
    if problems:
        return None, problems
    gated, problems = with_assets_of_branches(with_gates(graph))
    if problems:
        return None, problems
    places = find_places(gated.steps, gated.reads, gated.producers)
    step_of = {step.name: step for step in gated.steps}
    # With the approvals, so that one between two steps of a group splits it.
    groups = [
        replace(group, steps=tuple(step_of[step.name] for step in group.steps))
        for group in group_steps(grouped, places)
        if group.steps[0].approval is None
    ]
    return BuiltPipeline(gated, place_decisions(groups, gated), gated), []


def expand_maps(
    pipeline: BuiltPipeline,
    lists: Mapping[str, Any],
    earlier: Mapping[str, EarlierLength] = MappingProxyType({}),
) -> tuple[BuiltPipeline | None, list[FlowymlError]]:
    """Expand mapped steps into their items. Return None and all mistakes if there are any.

    Args:
        pipeline: Pipeline as declared.
        lists: Values by name, with those of the lists that steps map over, as far as known.
        earlier: Numbers of items of mapped steps in earlier runs.
    """
    expansion, problems = expand(pipeline.graph, pipeline.groups, lists, earlier)
    if expansion is None:
        return None, problems
    expanded = BuiltPipeline(
        graph=expansion.graph,
        groups=expansion.groups,
        declared=pipeline.graph,
        items=expansion.values,
        length_runs=expansion.length_runs,
    )
    return expanded, []
