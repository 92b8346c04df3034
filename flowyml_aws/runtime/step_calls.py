"""Calls of a step's condition and function, with the values that they read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flowyml_aws.core.arguments import Arguments
from flowyml_aws.core.step import Step
from flowyml_aws.runtime.job_values import Call
from flowyml_aws.runtime.spec import StepSpec

__all__ = ["StepCall", "StepCalls", "StepError"]


class StepError(Exception):
    """The user's code raised an exception.

    Attributes:
        cause: The exception.
        advice: Reason and fix, or an empty string.
    """

    def __init__(self, cause: BaseException, advice: str = "") -> None:
        super().__init__(str(type(cause)))
        self.cause, self.advice = cause, advice


@dataclass(frozen=True, slots=True)
class StepCall:
    """A function of the user with the sources of its arguments.

    Attributes:
        assets: The call as a reader of assets.
        context: The call as a reader of context values.
    """

    function: Callable[..., Any]
    arguments: Arguments
    assets: Call
    context: Call


@dataclass(frozen=True, slots=True)
class StepCalls:
    """The calls of one step.

    Attributes:
        condition: Call of the condition, if there is one; it comes first.
        function: Call of the function.
    """

    condition: StepCall | None
    function: StepCall

    @classmethod
    def of(cls, step: Step, spec: StepSpec) -> StepCalls:
        """Combine the functions of a step with the arguments that the client decided."""
        reader = f"step {spec.name!r}"
        function = _bound(step.func, spec.arguments, reader, spec.retry > 0)
        if step.condition is None or spec.condition is None:
            return cls(None, function)
        condition = _bound(step.condition, spec.condition, f"the condition of {reader}", False)
        return cls(condition, function)

    @property
    def in_order(self) -> tuple[StepCall, ...]:
        """The calls in their order."""
        return (self.function,) if self.condition is None else (self.condition, self.function)


def _bound(
    function: Callable[..., Any], arguments: Arguments, reader: str, repeats: bool
) -> StepCall:
    return StepCall(
        function,
        arguments,
        Call(reader, arguments.assets, repeats),
        Call(reader, arguments.context, repeats),
    )
