"""Variables of closures."""

from __future__ import annotations

from contextlib import suppress
from types import FunctionType
from typing import Any

__all__ = ["closure_variables"]


def closure_variables(function: FunctionType) -> dict[str, Any]:
    """Return the variables of a function's closure that are assigned, by name."""
    variables = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        # A cell is empty until its variable is assigned.
        with suppress(ValueError):
            variables[name] = cell.cell_contents
    return variables
