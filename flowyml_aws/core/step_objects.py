"""Detection and unwrapping of step objects, of this package and of FlowyML."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from flowyml_aws.core.step import Step

__all__ = ["is_flowyml_step", "is_step", "unwrap_step"]


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


def unwrap_step(value: Any) -> Any:
    """Return the function of a step; any other value is returned unchanged."""
    while is_step(value):
        value = value.func
    return value
