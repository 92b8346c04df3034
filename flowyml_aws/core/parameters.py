"""Context values that the steps of a pipeline require or accept."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable

from flowyml_aws.core.binding import bind, parameter_names
from flowyml_aws.core.errors import FlowymlError, MissingArgumentError
from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.step import Step

__all__ = ["context_names", "missing_arguments"]


def missing_arguments(graph: StepGraph, context: Collection[str]) -> list[FlowymlError]:
    """Return an error for each parameter without an input, a context value or a default."""
    problems: list[FlowymlError] = []
    for step in graph.steps:
        functions = [("", bind(step.func, step.inputs, context))]
        if step.condition is not None:
            reads = graph.reads[step.name]
            arguments = bind(step.condition, step.inputs, context, reads, step.func)
            functions.append((" (condition)", arguments))
        for role, arguments in functions:
            for parameter in arguments.missing:
                near = difflib.get_close_matches(parameter, [*step.inputs, *context], n=1)
                hint = f" (did you mean {near[0]!r}?)" if near else ""
                problems.append(
                    MissingArgumentError(
                        what=f"Step {step.name!r}{role} has no value for {parameter!r}{hint}",
                        why="it is neither an input nor in the context, and has no default",
                        fix=f"add it to the context, e.g. Context({parameter}=…), or to `inputs`",
                    )
                )
    return problems


def context_names(steps: Iterable[Step]) -> set[str]:
    """Return the parameters of functions and conditions that a context can fill."""
    fillable: set[str] = set()
    for step in steps:
        fillable.update(bind(step.func, step.inputs, parameter_names(step.func)).context)
        if callable(step.condition):
            names = parameter_names(step.condition)
            fillable.update(bind(step.condition, step.inputs, names, like=step.func).context)
    return fillable
