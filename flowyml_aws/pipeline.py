"""A pipeline: steps and a context, built into groups, planned and run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from flowyml_aws.core.context import Context
from flowyml_aws.core.errors import InvalidPipelineError, InvalidStepError
from flowyml_aws.core.graph import StepGraph, read_graph
from flowyml_aws.core.step import Step
from flowyml_aws.core.step_grouping import StepGroup, affinity_conflicts, group_steps

__all__ = ["Pipeline"]


class Pipeline:
    """Steps that depend on each other through the assets that they read and produce.

    Attributes:
        name: Names its runs.
        context: Parameters, handed to steps by parameter name.
        steps: In the order in which they were added.
    """

    def __init__(self, name: str, context: Context | Mapping[str, Any] | None = None) -> None:
        self.name = name
        self.context = context if isinstance(context, Context) else Context(**(context or {}))
        self.steps: list[Step] = []
        self._built: tuple[StepGraph, tuple[StepGroup, ...]] | None = None

    def add_step(self, step: Step) -> Pipeline:
        """Add a step; assets, not this order, decide what waits for what."""
        if not isinstance(step, Step):
            raise InvalidStepError(
                what=f"{step!r} is no step",
                why="a pipeline takes functions decorated with @step",
                fix="put @step above the function",
            )
        self.steps.append(step)
        self._built = None
        return self

    def add_steps(self, steps: Iterable[Step]) -> Pipeline:
        """Add several steps."""
        for step in steps:
            self.add_step(step)
        return self

    def build(self, inputs: Collection[str] = ()) -> Pipeline:
        """Order the steps and group them.

        Args:
            inputs: Assets that a run will bring along.

        Raises:
            InvalidPipelineError: With every mistake found.
        """
        graph, problems = read_graph(self.steps, inputs)
        if graph is not None:
            problems += affinity_conflicts(graph.steps)
        if graph is None or problems:
            raise InvalidPipelineError(self.name, problems)
        self._built = (graph, group_steps(graph.steps))
        return self
