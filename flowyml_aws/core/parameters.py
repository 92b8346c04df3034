"""What the steps of a pipeline need from its context, and what of it they can take."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable

from flowyml_aws.core.binding import bind, parameter_names
from flowyml_aws.core.errors import FlowymlError, MissingArgumentError
from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.step import Step

__all__ = ["context_names", "missing_arguments"]


def missing_arguments(graph: StepGraph, context: Collection[str]) -> list[FlowymlError]:
    """An error for each step with a parameter that neither inputs, context nor defaults fill."""
    found: list[FlowymlError] = []
    for step in graph.steps:
        needs = [("", bind(step.func, step.inputs, context))]
        if step.condition is not None:
            reads = graph.reads[step.name]
            arguments = bind(step.condition, step.inputs, context, reads, step.func)
            needs.append((" (its condition)", arguments))
        for whose, arguments in needs:
            for parameter in arguments.missing:
                near = difflib.get_close_matches(parameter, [*step.inputs, *context], n=1)
                hint = f" (did you mean {near[0]!r}?)" if near else ""
                found.append(
                    MissingArgumentError(
                        what=f"Step {step.name!r}{whose} lacks a value for {parameter!r}{hint}",
                        why="it is neither an input nor in the context, and has no default",
                        fix=f"add it to the context, e.g. Context({parameter}=…), or to `inputs`",
                    )
                )
    return found


def context_names(steps: Iterable[Step]) -> set[str]:
    """Parameters of functions and conditions that a context can fill: no input does before it."""
    found: set[str] = set()
    for step in steps:
        found.update(bind(step.func, step.inputs, parameter_names(step.func)).context)
        if callable(step.condition):
            names = parameter_names(step.condition)
            found.update(bind(step.condition, step.inputs, names, like=step.func).context)
    return found
