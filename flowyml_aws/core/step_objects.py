"""Detection and unwrapping of step objects, of this package and of FlowyML."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from flowyml_aws.core.step import Step

__all__ = [
    "function_of",
    "has_own_method",
    "is_dynamic_step",
    "is_flowyml_step",
    "is_step",
    "own_state",
    "unwrap_step",
]

_FLOWYMLS = frozenset(
    [
        *("cache", "condition", "config", "execution_group", "func", "resources", "retry"),
        *("source_code", "source_file", "source_line", "timeout"),
    ]
)
"""Attributes of a FlowyML step that describe it, or that are objects of FlowyML."""

_STEP = ("flowyml.core.step", "Step")
_DYNAMIC_STEP = ("flowyml.core.dynamic", "DynamicStep")


def is_step(value: object) -> bool:
    """Return whether a value is a step of this package or of FlowyML."""
    return isinstance(value, Step) or is_flowyml_step(value)


def is_flowyml_step(value: object) -> bool:
    """Return whether a value is a FlowyML step (or of a subclass), without importing FlowyML."""
    cls: Any = type(value)
    return not _classes_of(cls).isdisjoint((_STEP, _DYNAMIC_STEP))


def is_dynamic_step(value: object) -> bool:
    """Return whether a value is a step that FlowyML's `@dynamic` made."""
    cls: Any = type(value)
    return _DYNAMIC_STEP in _classes_of(cls)


@lru_cache(maxsize=1024)
def _classes_of(cls: type) -> frozenset[tuple[str, str]]:
    return frozenset((base.__module__, base.__name__) for base in cls.__mro__)


def function_of(step: Any) -> Any:
    """Return the function of a step; of a dynamic step of FlowyML, which wraps it, the user's."""
    return step._dynamic_func if is_dynamic_step(step) else step.func


def has_own_method(step: Any) -> bool:
    """Return whether the function of a step is a method of it, as in a class of the user."""
    return getattr(function_of(step), "__self__", None) is step


def own_state(step: Any) -> dict[str, Any]:
    """Return the attributes of a FlowyML step that its own method can use."""
    return {name: value for name, value in sorted(vars(step).items()) if name not in _FLOWYMLS}


def unwrap_step(value: Any) -> Any:
    """Return the function of a step; any other value is returned unchanged.

    A step whose function is a method of it is returned, too: the method is nothing without it.
    """
    while is_step(value) and not has_own_method(value):
        value = function_of(value)
    return value
