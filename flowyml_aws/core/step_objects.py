"""What stands where a step's function would be: a `Step`, ours or FlowyML's."""

from __future__ import annotations

from typing import Any

from flowyml_aws.core.step import Step

__all__ = ["is_flowyml_step", "is_step", "unwrap_step"]


def is_step(value: object) -> bool:
    """Whether a value is a step, of this package or of FlowyML."""
    return isinstance(value, Step) or is_flowyml_step(value)


def is_flowyml_step(value: object) -> bool:
    """Whether a value is a step of FlowyML, of whatever kind; FlowyML is not imported."""
    return any(
        kind.__name__ == "Step" and kind.__module__ == "flowyml.core.step"
        for kind in type(value).__mro__
    )


def unwrap_step(value: Any) -> Any:
    """The function behind a step; any other value is itself."""
    while is_step(value):
        value = value.func
    return value
