"""Detection and unwrapping of step objects, of this package and of FlowyML."""

from __future__ import annotations

from typing import Any

from flowyml_aws.core.step import Step

__all__ = ["is_flowyml_step", "is_step", "unwrap_step"]


def is_step(value: object) -> bool:
    """Return whether a value is a step of this package or of FlowyML."""
    return isinstance(value, Step) or is_flowyml_step(value)


def is_flowyml_step(value: object) -> bool:
    """Return whether a value is a FlowyML step (or of a subclass), without importing FlowyML."""
    return any(
        kind.__name__ == "Step" and kind.__module__ == "flowyml.core.step"
        for kind in type(value).__mro__
    )


def unwrap_step(value: Any) -> Any:
    """Return the function of a step; any other value is returned unchanged."""
    while is_step(value):
        value = value.func
    return value
