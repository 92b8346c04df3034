"""Steps with one parameter, and their context."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flowyml_aws.core.binding import bind_steps
from flowyml_aws.core.context import ContextEntry, ContextText
from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.core.step import Step
from flowyml_aws.parameters.resolve import ResolvedContext, resolve_context

__all__ = [
    "Color",
    "Level",
    "Optimizer",
    "entry",
    "mistake",
    "resolved_context",
    "step_with",
    "taken",
    "written",
]

NO_DEFAULT = object()


class Color(enum.Enum):
    RED = "r"
    ONE = 1


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Optimizer:
    rate: float
    name: str = "adam"


def step_with(
    annotation: Any = None, default: Any = NO_DEFAULT, name: str = "train", parameter: str = "x"
) -> Step:
    """Return a step whose function has one parameter."""
    signature = parameter if default is NO_DEFAULT else f"{parameter}=default"
    namespace: dict[str, Any] = {"default": default}
    exec(f"def {name}({signature}): pass", namespace)
    function: Callable[..., Any] = namespace[name]
    if annotation is not None:
        function.__annotations__[parameter] = annotation
    return Step(function, name)


def resolved_context(
    steps: Sequence[Step], of_pipeline: Mapping[str, Any], of_run: Mapping[str, Any]
) -> ResolvedContext:
    """Return the context of a pipeline's run, converted and checked."""
    bound = bind_steps(steps, context={**of_pipeline, **of_run})
    return resolve_context("p", bound, of_pipeline, of_run)


def taken(value: Any, *steps: Step) -> Any:
    """Return the value that the parameter `x` gets."""
    resolved = resolved_context(steps, {}, {"x": value})
    assert not resolved.problems
    return resolved.values["x"]


def written(text: str, annotation: Any = None, default: Any = NO_DEFAULT) -> Any:
    """Return the value that text means."""
    return taken(ContextText(text), step_with(annotation, default))


def entry(value: Any, annotation: Any = None, default: Any = NO_DEFAULT) -> Any:
    """Return the value that an entry of a file means."""
    return taken(ContextEntry(value), step_with(annotation, default))


def mistake(value: Any, *steps: Step) -> FlowymlError:
    """Return the only mistake in a context value `x`."""
    (problem,) = resolved_context(steps, {}, {"x": value}).problems
    return problem
