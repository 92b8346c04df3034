"""Parameters that take a handle of a value, which is read when it is used: `rows: Lazy[T]`."""

from __future__ import annotations

import builtins
import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from inspect import Parameter as Kinds
from typing import Any

from flowyml_aws.core.annotations import NO_TYPE, base_type, members, parameter_type, unwrapped
from flowyml_aws.core.signatures import Parameter, parameters_of
from flowyml_aws.core.skipped import Skipped

__all__ = ["Handle", "handle_type", "is_plainly_a_value", "value_type", "with_handles"]

_BUILTINS = frozenset(vars(builtins))
_GENERIC = re.compile(r"[\w.]+(?=\[)")  # a name with types in brackets


class Handle:
    """Base class of `flowyml_aws.Lazy`, by which its annotations are found."""

    @classmethod
    def of(cls, value: Any, name: str) -> Any:
        """Return a handle of a value in memory."""
        raise NotImplementedError


def handle_type(parameter: Parameter, kinds: Sequence[Any]) -> type[Handle] | None:
    """Return `Lazy` if a parameter is annotated as `Lazy` or `Lazy[T]`, alone or in a union.

    `T` may be a name that only a type checker knows, in an annotation that is a string.

    Args:
        parameter: The parameter.
        kinds: Types that its annotation means, as `members` returns them.
    """
    annotation = parameter.declared.annotation
    if isinstance(annotation, str) and NO_TYPE in kinds:
        kinds = [parameter_type(parameter.owner, name) for name in _GENERIC.findall(annotation)]
    return next((base_type(kind) for kind in kinds if _is_handle(kind)), None)


def is_plainly_a_value(annotation: Any) -> bool:
    """Return whether an annotation certainly means a plain value, without evaluating it.

    A plan has many thousands of context values of such types.
    """
    if isinstance(annotation, str):
        return annotation in _BUILTINS
    if annotation is NO_TYPE:
        return True
    is_class = isinstance(annotation, type) and typing.get_origin(annotation) is None
    return is_class and not issubclass(annotation, Handle)


def value_type(annotation: Any) -> Any:
    """Return the type of the value of a parameter: `T` for `Lazy[T]`, also in a union.

    Any other annotation is returned unchanged.
    """
    if not any(map(_is_handle, members(annotation))):
        return annotation
    kinds = tuple(_values(annotation))
    if NO_TYPE in kinds:
        return NO_TYPE
    return typing.Union[kinds]  # noqa: UP007  # of a number of types that is not known


def with_handles(
    function: Callable[..., Any], args: Sequence[Any], keywords: Mapping[str, Any]
) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """Return the arguments of a direct call, with handles for the parameters that take one."""
    parameters = parameters_of(function) or ()
    positional = [each for each in parameters if each.is_positional]
    more = [each for each in parameters if each.declared.kind is Kinds.VAR_POSITIONAL]
    places = [*positional, *more * max(0, len(args) - len(positional))]
    named = {each.name: each for each in parameters if each.is_named}
    passed = [_passed(value, place) for value, place in zip(args, places, strict=False)]
    return (*passed, *args[len(passed) :]), {
        name: _passed(value, named[name]) if name in named else value
        for name, value in keywords.items()
    }


def _passed(value: Any, parameter: Parameter) -> Any:
    """Return the value, or its handle. A handle, and a value without data, stays as it is."""
    kinds = members(parameter_type(parameter.owner, parameter.declared.annotation))
    handle = handle_type(parameter, kinds)
    if handle is None or isinstance(value, Handle | Skipped) or type(value) in kinds:
        return value
    return handle.of(value, parameter.name)


def _values(annotation: Any) -> Iterator[Any]:
    for member in members(annotation):
        if _is_handle(member):
            (kind,) = typing.get_args(unwrapped(member)) or (NO_TYPE,)
            yield NO_TYPE if kind is Any else kind
        else:
            yield member


def _is_handle(annotation: Any) -> bool:
    base = base_type(annotation)
    return isinstance(base, type) and issubclass(base, Handle)
