"""Conversion of FlowyML's `If` and `Switch` to those of this package."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from flowyml_aws.core.control_flow import ControlFlow, If, Switch
from flowyml_aws.core.lowering import is_plain_function
from flowyml_aws.core.step import Step
from flowyml_aws.core.step_objects import is_flowyml_step

__all__ = ["becomes_step", "branch_steps", "conditional_steps", "convert_flow", "is_supported_flow"]

_MODULE = "flowyml.core.conditional"


def is_supported_flow(flow: Any) -> bool:
    """Return whether a control flow of FlowyML can be converted."""
    kind = type(flow)
    return kind.__module__ == _MODULE and kind.__name__ in ("If", "Switch")


def becomes_step(item: Any) -> bool:
    """Return whether an item of a branch is a FlowyML step or a plain function."""
    return is_flowyml_step(item) or is_plain_function(item)


def branch_steps(flows: Sequence[Any]) -> Iterator[Any]:
    """Yield the FlowyML steps and the plain functions in the branches of control flows."""
    for flow in filter(is_supported_flow, flows):
        yield from filter(becomes_step, _branches(flow))


def convert_flow(flow: Any, convert: Callable[[Any], Step]) -> ControlFlow:
    """Return a control flow of FlowyML as one of this package.

    FlowyML evaluates a condition after each step until it does not fail. Here it is evaluated once,
    after the steps that it names.

    Args:
        flow: A `flowyml.If` or a `flowyml.Switch`.
        convert: Converts a FlowyML step or a plain function.
    """

    def branch(step: Any) -> Any:
        return convert(step) if becomes_step(step) else step

    if type(flow).__name__ == "If":
        return If(flow.condition, *map(branch, _branches(flow)))
    switch = Switch(flow.selector_func)
    for value, step in flow.cases.items():
        switch.case(value, branch(step))
    if flow.default_func is not None:
        switch.default(branch(flow.default_func))
    return switch


def conditional_steps(steps: Sequence[Step]) -> dict[str, bool]:
    """Return the steps that FlowyML does not show if they did not run, and the decisions.

    Args:
        steps: All steps of a converted pipeline.

    Returns:
        Names, and whether the step is a decision, which FlowyML does not have.
    """
    return {step.name: bool(step.cases) for step in steps if step.cases or step.branch is not None}


def _branches(flow: Any) -> Sequence[Any]:
    if type(flow).__name__ == "If":
        return flow.then_step, flow.else_step
    return (*flow.cases.values(), flow.default_func)
