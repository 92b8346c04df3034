"""The members of a class that its source does not show, or all of them without a source."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from enum import EnumMeta
from types import FunctionType
from typing import Any

from flowyml_aws.code.members import attributes_of, declared_fields, own_attributes
from flowyml_aws.code.ownership import users_code
from flowyml_aws.code.patches import defines
from flowyml_aws.code.source import Source
from flowyml_aws.code.unit import Draft

__all__ = ["add_members", "all_members"]


def add_members(unit: Draft, cls: type, source: Source) -> None:
    """Add what the source of a class does not show: values, and attributes set by others."""
    if fields := declared_fields(cls):
        unit.add_known("fields", fields)
    for name, value in () if isinstance(cls, EnumMeta) else attributes_of(cls):
        for function in value if type(value) is tuple else (value,):
            if not isinstance(function, FunctionType) or users_code(function) is None:
                if not name.startswith("__"):
                    unit.add_known(name, function)
            elif defines(source, function):
                _add_state(unit, name, function)
            elif not function.__code__.co_filename.startswith("<"):  # not by a dataclass
                unit.add_code_of(f"member {name}", function)


def _add_state(unit: Draft, name: str, function: FunctionType) -> None:
    """Add the values of a method, which its source shows only as expressions."""
    attributes = own_attributes(function)
    if function.__defaults__ or function.__kwdefaults__ or attributes:
        unit.add_known(name, (function.__defaults__, function.__kwdefaults__, attributes))


def all_members(cls: type) -> Iterator[tuple[str, Any]]:
    """Yield the fields and members of a class without source text, by name."""
    yield "annotations", list(inspect.get_annotations(cls).items())
    yield "fields", declared_fields(cls)
    if isinstance(cls, EnumMeta):
        yield "members", [(name, cls[name].value) for name in cls.__members__]
        return
    for name, value in sorted(vars(cls).items()):
        generated = isinstance(value, FunctionType) and value.__code__.co_filename == "<string>"
        if not generated and (isinstance(value, FunctionType) or not name.startswith("__")):
            yield name, value
