"""Construction of a pipeline that can be planned: its graph and its groups."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from flowyml_aws.core.binding import BoundStep
from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.core.graph import StepGraph, order_steps
from flowyml_aws.core.step_grouping import (
    StepGroup,
    affinity_conflicts,
    environment_conflicts,
    group_steps,
)

__all__ = ["BuiltPipeline", "build_pipeline"]


@dataclass(frozen=True, slots=True)
class BuiltPipeline:
    """The steps of a pipeline in order, and in groups.

    Attributes:
        groups: All groups in running order; a step without an execution group is a group of one.
    """

    graph: StepGraph
    groups: tuple[StepGroup, ...]


def build_pipeline(
    steps: Sequence[BoundStep], inputs: Collection[str]
) -> tuple[BuiltPipeline | None, list[FlowymlError]]:
    """Order and group steps. Return None and all mistakes if there are any.

    Args:
        steps: Steps in declaration order, with their arguments.
        inputs: Names of the external inputs.
    """
    graph, problems = order_steps(steps, inputs)
    if graph is None:
        return None, problems
    problems += affinity_conflicts(graph.steps) + environment_conflicts(graph.steps)
    if problems:
        return None, problems
    return BuiltPipeline(graph, group_steps(graph.steps)), []
