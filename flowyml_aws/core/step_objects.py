"""Detection and unwrapping of step objects, of this package and of FlowyML."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from flowyml_aws.core.step import Step

__all__ = ["has_own_method", "is_flowyml_step", "is_step", "own_state", "unwrap_step"]

_FLOWYMLS = frozenset(
    [
        *("cache", "condition", "config", "execution_group", "func", "resources", "retry"),
        *("source_code", "source_file", "source_line", "timeout"),
    ]
)
"""Attributes of a FlowyML step that describe it, or that are objects of FlowyML."""


def is_step(value: object) -> bool:
    """Return whether a value is a step of this package or of FlowyML."""
    return isinstance(value, Step) or is_flowyml_step(value)


def is_flowyml_step(value: object) -> bool:
    """Return whether a value is a FlowyML step (or of a subclass), without importing FlowyML."""
    cls: Any = type(value)
    return _is_flowyml_step_class(cls)


@lru_cache(maxsize=1024)
def _is_flowyml_step_class(cls: type) -> bool:
    return any(
        base.__name__ == "Step" and base.__module__ == "flowyml.core.step" for base in cls.__mro__
    )


def has_own_method(step: Any) -> bool:
    """Return whether the function of a step is a method of it, as in a class of the user."""
    return getattr(step.func, "__self__", None) is step


def own_state(step: Any) -> dict[str, Any]:
    """Return the attributes of a FlowyML step that its own method can use."""
    return {name: value for name, value in sorted(vars(step).items()) if name not in _FLOWYMLS}


def unwrap_step(value: Any) -> Any:
    """Return the function of a step; any other value is returned unchanged.

    A step whose function is a method of it is returned, too: the method is nothing without it.
    """
    while is_step(value) and not has_own_method(value):
        value = value.func
    return value
