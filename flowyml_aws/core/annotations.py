"""Annotations of parameters as types, also if the source has them as strings."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Hashable, Mapping
from types import SimpleNamespace, UnionType
from typing import Any

__all__ = [
    "NO_TYPE",
    "base_type",
    "is_union",
    "members",
    "parameter_type",
    "shown",
    "unwrapped",
    "without_aliases",
]

NO_TYPE = inspect.Parameter.empty
"""Type of a parameter without an annotation that can be checked."""


def parameter_type(function: Callable[..., Any], annotation: Any) -> Any:
    """Return the type that an annotation in the signature of a function means.

    Names in a string are looked up in the globals of the function that the signature belongs to,
    and in its closure. The result is `NO_TYPE` if a name is unknown, if the annotation is not a
    type, or if it accepts everything.
    """
    if annotation is NO_TYPE:
        return NO_TYPE
    source = _source(function)
    names = {**getattr(source, "__globals__", {}), **_type_parameters(source), **_closure(source)}
    holder = SimpleNamespace(__annotations__={"parameter": annotation})
    try:
        hints = typing.get_type_hints(holder, names, names, include_extras=True)
    except Exception:  # evaluating an annotation is the user's code
        return NO_TYPE
    resolved = hints["parameter"]
    kind = unwrapped(resolved)
    if kind in (Any, object, Hashable) or isinstance(kind, typing.TypeVar):
        return NO_TYPE
    is_type = isinstance(kind, type) or typing.get_origin(kind) is not None
    return resolved if is_type else NO_TYPE


def without_aliases(annotation: Any) -> Any:
    """Return the type inside an alias or a `NewType`."""
    while True:
        if isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType":  # `type X = …`, from Python 3.12
            annotation = annotation.__value__
        else:
            return annotation


def unwrapped(annotation: Any) -> Any:
    """Return the type inside an alias, a `NewType` or `Annotated`."""
    kind = without_aliases(annotation)
    while typing.get_origin(kind) is typing.Annotated:
        kind = without_aliases(typing.get_args(kind)[0])
    return kind


def base_type(annotation: Any) -> Any:
    """Return the class of an annotation: `list` for `list[int]`."""
    kind = unwrapped(annotation)
    return typing.get_origin(kind) or kind


def is_union(annotation: Any) -> bool:
    """Return whether an annotation is `Optional[…]`, `Union[…]` or `… | …`."""
    return base_type(annotation) in (typing.Union, UnionType)


def members(annotation: Any) -> tuple[Any, ...]:
    """Return the types of a union, with those of unions inside it, or the only type."""
    if not is_union(annotation):
        return (annotation,)
    nested = [members(item) for item in typing.get_args(unwrapped(annotation))]
    return tuple(item for items in nested for item in items)


def shown(annotation: Any) -> str:
    """Return an annotation as its source shows it."""
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _source(function: Callable[..., Any]) -> Any:
    """Return the function whose names the annotations of a callable use."""
    while True:
        wrapped = inspect.unwrap(function)
        if isinstance(wrapped, functools.partial):
            function = wrapped.func
        elif inspect.ismethod(wrapped):
            function = wrapped.__func__
        elif inspect.isclass(wrapped):
            return wrapped.__init__
        # Not `callable`: the method itself is needed.
        elif not inspect.isroutine(wrapped) and hasattr(type(wrapped), "__call__"):  # noqa: B004
            return inspect.unwrap(type(wrapped).__call__)
        else:
            return wrapped


def _type_parameters(source: Any) -> Mapping[str, Any]:
    return {parameter.__name__: parameter for parameter in getattr(source, "__type_params__", ())}


def _closure(source: Any) -> Mapping[str, Any]:
    names = getattr(getattr(source, "__code__", None), "co_freevars", ())
    cells = getattr(source, "__closure__", None) or ()
    values = {}
    for name, cell in zip(names, cells, strict=False):
        try:
            values[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return values
