"""Sources of the parameters of a pipeline's steps: inputs, the context and defaults."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flowyml_aws.core.annotations import NO_TYPE, parameter_type, shown
from flowyml_aws.core.binding import BoundCall, BoundStep
from flowyml_aws.core.errors import (
    AmbiguousArgumentError,
    FlowymlError,
    MissingArgumentError,
    UntakenInputError,
)
from flowyml_aws.core.graph import StepGraph
from flowyml_aws.core.lazy_parameters import value_type
from flowyml_aws.core.signatures import Parameter, parameters_of
from flowyml_aws.core.spelling import did_you_mean
from flowyml_aws.core.step import Step

__all__ = [
    "ContextParameter",
    "context_parameters",
    "input_problems",
    "missing_arguments",
]


def input_problems(graph: StepGraph) -> list[FlowymlError]:
    """Return an error for each mistake in the inputs of steps.

    A mistake is a parameter with two sources, or an input that no parameter takes, except if the
    function has no parameters.
    """
    problems: list[FlowymlError] = []
    for step in graph.steps:
        bound = graph.bound[step.name]
        for label, call in _labelled(bound):
            problems += [
                _ambiguous(label, sources.parameter, _own_name(step, sources.asset))
                for sources in call.ambiguous
            ]
        if not bound.order_only:
            problems += [_untaken(bound, asset) for asset in bound.untaken]
    return problems


def missing_arguments(graph: StepGraph, context: Collection[str]) -> list[FlowymlError]:
    """Return an error for each parameter without an input, a context value or a default.

    A plan does not need these values, but a run does.
    """
    return [
        _missing_of_decision(step, name, graph, context)
        if step.is_lowered
        else _missing(label, name, step, context, graph.producers.get(_in_pipeline(step, name)))
        for step in graph.steps
        for label, call in _labelled(graph.bound[step.name])
        for name in call.missing
    ]


def _in_pipeline(step: Step, asset: str) -> str:
    """Return the name in the pipeline of an asset that a step may read."""
    return asset if step.scope is None else step.scope.assets.get(asset, asset)


def _own_name(step: Step, asset: str) -> str:
    """Return the name that the declaration of a step has for an asset."""
    return asset if step.scope is None else step.scope.own_names.get(asset, asset)


def _labelled(bound: BoundStep) -> Iterator[tuple[str, BoundCall]]:
    yield f"Step {bound.step.name!r}", bound.function
    if bound.condition is not None:
        yield f"Step {bound.step.name!r} (condition)", bound.condition


def _missing_of_decision(
    step: Step, parameter: str, graph: StepGraph, context: Collection[str]
) -> FlowymlError:
    own = {
        asset
        for each in graph.steps
        if each is step or (each.branch is not None and each.branch.decision == step.name)
        for asset in each.assets
    }
    names = sorted({*graph.producers, *graph.external_inputs, *context} - own)
    if step.scope is not None and parameter in names:
        path = step.scope.path
        return MissingArgumentError(
            what=f"The condition of {step.name!r} has no value for {parameter!r}",
            why=f"sub-pipeline {path!r} is not connected to {parameter!r} of the pipeline",
            fix=f"connect it: add_sub_pipeline(…, inputs=[{parameter!r}])",
        )
    fix = f"add it to the context, e.g. Context({parameter}=…)"
    if step.view is None:
        fix += (
            '; or write a function of one parameter that reads ctx.steps["evaluate"]'
            '.outputs["accuracy"], ctx["accuracy"] or ctx.params["threshold"]'
        )
    return MissingArgumentError(
        what=f"The condition of {step.name!r} has no value for {parameter!r}",
        why=f"it is neither an asset nor in the context; these are {', '.join(names) or '(none)'}",
        fix=did_you_mean(parameter, names, fix),
    )


def _missing(
    label: str, parameter: str, step: Step, context: Collection[str], producer: str | None
) -> FlowymlError:
    if producer is not None:
        return MissingArgumentError(
            what=f"{label} has no value for {parameter!r}",
            why=f"step {producer!r} produces it, but it is not among the inputs of the step",
            fix=f'add it: @step(inputs=["{parameter}"], …)',
        )
    names = context if step.scope is None else step.scope.context(context)
    near = difflib.get_close_matches(parameter, [*step.own.inputs, *names], n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    where = "" if step.scope is None else " of the sub-pipeline or of a pipeline around it"
    return MissingArgumentError(
        what=f"{label} has no value for {parameter!r}{hint}",
        why="it is neither an input nor in the context, and has no default",
        fix=f"add it to the context{where}, e.g. Context({parameter}=…), or to `inputs`",
    )


def _ambiguous(label: str, parameter: str, asset: str) -> FlowymlError:
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


def _untaken(bound: BoundStep, asset: str) -> FlowymlError:
    names = [p.name for p in bound.function.parameters or ()]
    asset = _own_name(bound.step, asset)
    return UntakenInputError(
        what=f"Step {bound.step.name!r} reads {asset!r}, but no parameter takes it",
        why="no parameter has its name, and the one at its index does not exist or takes another "
        f"input; the parameters are {', '.join(names) or '(none)'}",
        fix=f"add a parameter {asset!r}; if the step only has to run after its producer, "
        f'write after=["{asset}"] and remove it from `inputs`',
    )


@dataclass(frozen=True, slots=True)
class ContextParameter:
    """A parameter that the context can fill.

    Attributes:
        name: Name of the context value. It is that of the parameter, after the path of its
            sub-pipeline: `train/prepare/rate`.
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


def context_parameters(steps: Iterable[BoundStep]) -> list[ContextParameter]:
    """Return the parameters of functions, conditions and cache rules that a context can fill."""
    found: list[ContextParameter] = []
    for bound in steps:
        owner = f"step {bound.step.name!r}"
        own, of_assets = bound.function.named, bound.function.of_assets
        found += _parameters(bound, own, own.keys() - of_assets.keys(), owner)
        if bound.condition is not None:
            # The context comes before assets, except those that the function gets, too.
            own = bound.condition.named
            names = own.keys() - of_assets.keys()
            found += _parameters(bound, own, names, f"the condition of {owner}")
        if callable(bound.step.cache):
            own = {p.name: p for p in parameters_of(bound.step.cache) or () if p.is_named}
            found += _parameters(bound, own, own, f"the cache function of {owner}")
    return found


def _parameters(
    bound: BoundStep, parameters: Mapping[str, Parameter], names: Collection[str], owner: str
) -> Iterator[ContextParameter]:
    for name, parameter in parameters.items():
        if name in names:
            kind = value_type(parameter_type(parameter.owner, parameter.declared.annotation))
            yield ContextParameter(bound.context_name(name), owner, kind, parameter.declared)
