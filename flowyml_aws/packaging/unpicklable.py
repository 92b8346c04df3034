"""Explanation of pickling errors: the step and the variable that can't be pickled."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from types import FunctionType
from typing import Any

from flowyml_aws.code.bindings import Binding
from flowyml_aws.core.errors import UnpicklableStepError
from flowyml_aws.core.step import Step
from flowyml_aws.packaging.pickling import is_picklable, variables_of

__all__ = ["explain_unpicklable"]


def explain_unpicklable(
    steps: Sequence[Step],
    context: Mapping[str, Any],
    carried: Mapping[Binding, Any],
    error: Exception,
) -> UnpicklableStepError:
    """Return an error that names the value which made pickling these steps fail."""
    for binding, value in carried.items():
        if not is_picklable(value, by_value=[binding]):
            return _error(
                f"The steps use {binding.name!r}, whose value is only in this process, and which "
                "can't be pickled: it",
                value,
                error,
            )
    for name, value in context.items():
        if not is_picklable(value):
            return _error(f"The context can't be pickled: {name!r}", value, error)
    for step in steps:
        for part in (step.func, step.condition, step.cache):
            if is_picklable(part):
                continue
            variable, value = _culprit(part)
            return _error(f"Step {step.name!r} can't be pickled: {variable or 'it'}", value, error)
    names = ", ".join(repr(step.name) for step in steps)
    return UnpicklableStepError(
        what=f"Steps {names} can't be pickled",
        why=f"pickling them raised {type(error).__name__}: {error}",
        fix="create such objects inside the step, or import them from a module",
    )


def _error(what: str, value: Any, error: Exception) -> UnpicklableStepError:
    return UnpicklableStepError(
        what=f"{what} is a {type(value).__qualname__}",
        why=f"pickling it raised {type(error).__name__}: {error}",
        fix="create it inside the step, or pass the values to create it from (a path, a URL)",
    )


def _culprit(value: Any) -> tuple[str, Any]:
    """Find the innermost unpicklable variable, through the functions and classes that use it."""
    variable, seen = "", {id(value)}
    user = ""
    while True:
        for name, inner in _variables(value):
            if id(inner) not in seen and not is_picklable(inner):
                seen.add(id(inner))
                variable = f"{name}, which {user} uses," if user else name
                user = getattr(inner, "__qualname__", "")
                value = inner
                break
        else:
            return variable, value


def _variables(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the values that are pickled with a function or class, and a name for each."""
    if isinstance(value, FunctionType):
        for name, inner in variables_of(value).items():
            yield f"variable {name!r}", inner
        for parameter in inspect.signature(value).parameters.values():
            if parameter.default is not parameter.empty:
                yield f"the default of {parameter.name!r}", parameter.default
    elif isinstance(value, type):
        for name, attribute in vars(value).items():
            inner = getattr(attribute, "__func__", attribute)  # static and class methods
            yield f"{value.__qualname__}.{name}", inner
    elif hasattr(value, "func") and hasattr(value, "args"):  # functools.partial
        yield "its function", value.func
        yield from ((f"argument {position}", arg) for position, arg in enumerate(value.args))
        yield from ((f"argument {name!r}", arg) for name, arg in value.keywords.items())
