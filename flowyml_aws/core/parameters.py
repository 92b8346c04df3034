"""Sources of the parameters of a pipeline's steps: inputs, the context and defaults."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flowyml_aws.core.annotations import NO_TYPE, parameter_type, shown
from flowyml_aws.core.binding import BoundCall, TwoSources, bind, bind_condition
from flowyml_aws.core.errors import (
    AmbiguousArgumentError,
    FlowymlError,
    MissingArgumentError,
    UntakenInputError,
)
from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.signatures import Parameter, parameters_of
from flowyml_aws.core.step import Step

__all__ = [
    "BoundStep",
    "ContextParameter",
    "bind_step",
    "context_parameters",
    "input_problems",
    "missing_arguments",
]


@dataclass(frozen=True, slots=True)
class BoundStep:
    """The arguments of a step's function, and of its condition if it has one."""

    function: BoundCall
    condition: BoundCall | None

    @property
    def untaken(self) -> tuple[str, ...]:
        """Inputs that neither the function nor the condition takes."""
        taken = self.condition.arguments.assets if self.condition is not None else ()
        return tuple(asset for asset in self.function.untaken if asset not in taken)

    @property
    def order_only(self) -> tuple[str, ...]:
        """Inputs that only decide the order, because the function has no parameters at all.

        The specification of step grouping has such steps.
        """
        return self.untaken if self.function.parameters == () else ()

    @property
    def context(self) -> set[str]:
        """Context values that the step takes."""
        calls = [call for call in (self.function, self.condition) if call is not None]
        return {name for call in calls for name in call.arguments.context}


def bind_step(step: Step, assets: Collection[str], context: Collection[str]) -> BoundStep:
    """Return the arguments of a step.

    Args:
        step: Step to bind.
        assets: Assets that the step's condition can take by name.
        context: Names in the context.
    """
    function = bind(step.func, step.inputs, context)
    if step.condition is None:
        return BoundStep(function, None)
    condition = bind_condition(step.condition, step.func, step.inputs, context, assets)
    return BoundStep(function, condition)


def input_problems(graph: StepGraph, context: Collection[str]) -> list[FlowymlError]:
    """Return an error for each mistake in the inputs of steps.

    A mistake is a parameter with two sources, or an input that no parameter takes, except if the
    function has no parameters.
    """
    problems: list[FlowymlError] = []
    for step in graph.steps:
        bound = bind_step(step, graph.reads[step.name], context)
        for label, call in _labelled(step, bound):
            problems += [_ambiguous(label, sources) for sources in call.ambiguous]
        if not bound.order_only:
            problems += [_untaken(step, asset) for asset in bound.untaken]
    return problems


def missing_arguments(graph: StepGraph, context: Collection[str]) -> list[FlowymlError]:
    """Return an error for each parameter without an input, a context value or a default.

    A plan does not need these values, but a run does.
    """
    return [
        _missing(label, name, step, context)
        for step in graph.steps
        for label, call in _labelled(step, bind_step(step, graph.reads[step.name], context))
        for name in call.missing
    ]


def _labelled(step: Step, bound: BoundStep) -> Iterator[tuple[str, BoundCall]]:
    yield f"Step {step.name!r}", bound.function
    if bound.condition is not None:
        yield f"Step {step.name!r} (condition)", bound.condition


def _missing(label: str, parameter: str, step: Step, context: Collection[str]) -> FlowymlError:
    near = difflib.get_close_matches(parameter, [*step.inputs, *context], n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return MissingArgumentError(
        what=f"{label} has no value for {parameter!r}{hint}",
        why="it is neither an input nor in the context, and has no default",
        fix=f"add it to the context, e.g. Context({parameter}=…), or to `inputs`",
    )


def _ambiguous(label: str, sources: TwoSources) -> FlowymlError:
    parameter, asset = sources.parameter, sources.asset
    what = f"{label} has two values for {parameter!r}: asset {asset!r} and a context value"
    if parameter == asset:
        return AmbiguousArgumentError(
            what=what,
            why="an argument has one source, and both have its name",
            fix="rename the context value or the asset",
        )
    return AmbiguousArgumentError(
        what=what,
        why=f"no parameter has the name {asset!r}, so the input is passed by position, and "
        f"{parameter!r} is the parameter at its index",
        fix=f"rename the parameter that takes the input to {asset!r}, or move it to this index",
    )


def _untaken(step: Step, asset: str) -> FlowymlError:
    names = [p.name for p in parameters_of(step.func) or ()]
    return UntakenInputError(
        what=f"Step {step.name!r} reads {asset!r}, but no parameter takes it",
        why="no parameter has its name, and the one at its index does not exist or takes another "
        f"input; the parameters are {', '.join(names) or '(none)'}",
        fix=f"add a parameter {asset!r}; if the step only has to run after its producer, "
        f'write after=["{asset}"] and remove it from `inputs`',
    )


@dataclass(frozen=True, slots=True)
class ContextParameter:
    """A parameter that the context can fill.

    Attributes:
        name: Name of the parameter, and of the context value.
        owner: The function that has it, for messages: "step 'train'".
        type: Type that its annotation means, or `NO_TYPE`.
        declared: Name, annotation and default.
    """

    name: str
    owner: str
    type: Any
    declared: inspect.Parameter

    def __str__(self) -> str:
        annotation, default = self.declared.annotation, self.declared.default
        annotated = "" if annotation is NO_TYPE else f": {shown(annotation)}"
        valued = "" if annotated or default is NO_TYPE else f"={default!r}"
        return f"parameter `{self.name}{annotated}{valued}` of {self.owner}"


def context_parameters(steps: Iterable[Step]) -> list[ContextParameter]:
    """Return the parameters of functions, conditions and cache rules that a context can fill."""
    found: list[ContextParameter] = []
    for step in steps:
        owner = f"step {step.name!r}"
        function = bind(step.func, step.inputs, ())
        own = {p.name: p for p in function.parameters or () if p.is_named}
        found += _parameters(own, own.keys() - function.by_parameter.keys(), owner)
        if callable(step.condition):
            of_condition = _named_parameters(step.condition)
            call = bind_condition(step.condition, step.func, step.inputs, of_condition, ())
            filled = call.arguments.context  # it comes before inputs by position
            found += _parameters(of_condition, filled, f"the condition of {owner}")
        if callable(step.cache):
            of_cache = _named_parameters(step.cache)
            found += _parameters(of_cache, of_cache, f"the cache function of {owner}")
    return found


def _parameters(
    parameters: Mapping[str, Parameter], names: Collection[str], owner: str
) -> Iterator[ContextParameter]:
    for name, parameter in parameters.items():
        if name in names:
            kind = parameter_type(parameter.owner, parameter.declared.annotation)
            yield ContextParameter(name, owner, kind, parameter.declared)


def _named_parameters(function: Callable[..., Any]) -> dict[str, Parameter]:
    return {p.name: p for p in parameters_of(function) or () if p.is_named}
