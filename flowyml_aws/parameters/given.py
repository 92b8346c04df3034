"""Values given in Python. They are never converted, and refused only if they can't be meant.

A string can't be meant for a number, a bool, a collection or a dataclass, nor a number for a
string, nor a value outside a `Literal`. Everything else passes, as in a Python call: numpy scalars,
an int for a float, a string for a `Path`, a tuple for a list.
"""

from __future__ import annotations

import dataclasses
import typing
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, MutableSequence, Set
from enum import Enum
from numbers import Number
from types import NoneType
from typing import Any

from flowyml_aws.core.annotations import base_type, is_union, members, unwrapped

__all__ = ["can_be_meant", "is_structured"]

_STRUCTURED = (list, tuple, deque, MutableSequence, Set, Mapping)
_COLLECTIONS = (list, tuple, set, frozenset, str)


def can_be_meant(annotation: Any, value: object) -> bool:
    """Return whether a value can be meant for a parameter with this annotation."""
    if type(value) is annotation:
        return True  # most of the thousands of values of a map
    kind, base = unwrapped(annotation), base_type(annotation)
    if is_union(kind):
        return any(can_be_meant(member, value) for member in members(kind))
    if base is typing.Literal:
        return any(_equal(value, allowed) for allowed in typing.get_args(kind))
    if kind is None or base is NoneType:
        return value is None
    if not isinstance(base, type):
        return True
    if not _is_instance(value, base):
        if isinstance(value, str):
            return not (issubclass(base, Number) or is_structured(base))
        if isinstance(value, Number) and issubclass(base, str):
            return issubclass(base, Enum)
    return all(can_be_meant(item_type, item) for item_type, item in _items(kind, base, value))


def _items(kind: Any, base: type, value: object) -> Iterator[tuple[Any, Any]]:
    """Yield the items of a built-in collection with their types."""
    types = typing.get_args(kind)
    if isinstance(value, dict) and len(types) == 2 and issubclass(base, Mapping):
        for key, item in value.items():
            yield types[0], key
            yield types[1], item
    elif isinstance(value, _COLLECTIONS) and types and issubclass(base, Iterable):
        if issubclass(base, tuple) and types[-1] is not ...:
            yield from zip(types, value, strict=False)
        elif not issubclass(base, Mapping):
            yield from ((types[0], item) for item in value)


def is_structured(base: Any) -> bool:
    """Return whether a class is a collection, a dataclass, a pydantic model or a `TypedDict`."""
    return isinstance(base, type) and (
        issubclass(base, _STRUCTURED)
        or dataclasses.is_dataclass(base)
        or hasattr(base, "model_fields")
        or typing.is_typeddict(base)
        or bool(getattr(base, "__attrs_attrs__", ()))
    )


def _is_instance(value: object, base: type) -> bool:
    try:
        return isinstance(value, base)
    except TypeError:  # protocols and typed dicts
        return False


def _equal(value: object, allowed: object) -> bool:
    try:
        return bool(value == allowed)
    except Exception:  # arrays, and whatever a class of the user raises
        return False
