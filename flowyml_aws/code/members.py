"""Attributes of classes and functions and variables of closures, as they are in this process."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from types import FunctionType
from typing import Any

__all__ = [
    "attributes_of",
    "closure_variables",
    "declared_fields",
    "own_attributes",
    "without_descriptor",
]


def attributes_of(cls: type) -> list[tuple[str, Any]]:
    """Return the attributes that a class itself has, by name, without those that Python adds."""
    return [
        (name, without_descriptor(value))
        for name, value in sorted(vars(cls).items())
        if not name.startswith("__") or isinstance(value, FunctionType)
    ]


def closure_variables(function: FunctionType) -> dict[str, Any]:
    """Return the variables of a function's closure that are assigned, by name."""
    variables = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        # A cell is empty until its variable is assigned.
        with suppress(ValueError):
            variables[name] = cell.cell_contents
    return variables


def declared_fields(cls: type) -> list[tuple[str, Any, Any]]:
    """Return the fields of a dataclass or a pydantic model with their defaults."""
    for attribute in ("__pydantic_fields__", "__dataclass_fields__"):
        fields = vars(cls).get(attribute)
        if isinstance(fields, Mapping):
            return [(name, field.default, field.default_factory) for name, field in fields.items()]
    return []


def own_attributes(function: FunctionType) -> dict[str, Any]:
    """Return the attributes that were set on a function, not copied by `functools.wraps`."""
    if not vars(function):
        return {}
    wrapped = getattr(vars(function).get("__wrapped__"), "__dict__", {})
    return {
        name: value
        for name, value in vars(function).items()
        if name != "__wrapped__" and wrapped.get(name, function) is not value
    }


def without_descriptor(value: Any) -> Any:
    """Return the functions of a method or property; other values are returned unchanged."""
    if isinstance(value, staticmethod | classmethod):
        return value.__func__
    if isinstance(value, property):
        return (value.fget, value.fset, value.fdel)
    return value.func if isinstance(value, cached_property) else value
