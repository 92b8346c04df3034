"""Parameters of a function that its caller can fill, also through decorators.

`inspect.signature` reports the parameters of the decorated function (`__wrapped__`). A decorator
may add parameters to them, and may pass some of them itself. So the parameters here are those
that the decorator declares, and those of the decorated function that can pass through its `*args`
and `**kwargs`. The latter may have a value that only the decorator knows.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import FunctionType, MethodType
from typing import Any

__all__ = ["Parameter", "parameters_of"]

_POSITIONAL_ONLY = inspect.Parameter.POSITIONAL_ONLY
_POSITIONAL_OR_KEYWORD = inspect.Parameter.POSITIONAL_OR_KEYWORD
_VAR_POSITIONAL = inspect.Parameter.VAR_POSITIONAL
_KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY
_VAR_KEYWORD = inspect.Parameter.VAR_KEYWORD

_TRANSPARENT = (staticmethod, type(functools.lru_cache(lambda: None)))
"""Wrappers that pass all arguments on unchanged."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter that a caller can fill.

    Attributes:
        declared: Name, default and annotation; the kind is the way in which a caller can pass it.
        owner: Function that declares it, whose globals resolve the annotation.
        is_injectable: Whether a decorator may pass the argument.
        is_guess: Whether it depends on a guess, because a decorator does not name its function: a
            parameter of the function that it holds, or `*args` or `**kwargs` that this function
            does not have.
    """

    declared: inspect.Parameter
    owner: Callable[..., Any]
    is_injectable: bool = False
    is_guess: bool = False

    @property
    def name(self) -> str:
        """Name of the parameter."""
        return self.declared.name

    @property
    def is_positional(self) -> bool:
        """True if one argument by position can fill it."""
        return self.declared.kind in (_POSITIONAL_ONLY, _POSITIONAL_OR_KEYWORD)

    @property
    def is_named(self) -> bool:
        """True except for `*args` and `**kwargs`."""
        return self.declared.kind not in (_VAR_POSITIONAL, _VAR_KEYWORD)

    @property
    def has_default(self) -> bool:
        """True if the function has a value for it."""
        return self.declared.default is not inspect.Parameter.empty

    @property
    def is_required(self) -> bool:
        """True if the call fails without an argument for it."""
        return self.is_named and not self.has_default and not self.is_injectable

    def of_kind(self, kind: inspect._ParameterKind) -> Parameter:
        """Return the parameter with another kind."""
        return replace(self, declared=self.declared.replace(kind=kind))


def parameters_of(function: Callable[..., Any]) -> tuple[Parameter, ...] | None:
    """Return the parameters in the order of a signature; None for builtins without a signature."""
    if isinstance(function, functools.partial):
        inner = parameters_of(function.func)
        return inner and _without_bound(inner, function.args, function.keywords)
    if isinstance(function, MethodType):
        inner = parameters_of(function.__func__)
        return inner and _without_bound(inner, (function.__self__,), {})
    if isinstance(function, _TRANSPARENT):
        return parameters_of(function.__wrapped__)
    own = _own_parameters(function)
    if own is None:
        return None
    if (wrapped := _wrapped(function)) is not None:
        inner = parameters_of(wrapped)
        return own if inner is None else _through(own, inner)
    if {p.declared.kind for p in own} >= {_VAR_POSITIONAL, _VAR_KEYWORD}:
        # A decorator without `functools.wraps`. It accepts everything, so that the parameters
        # of the function that it holds only add their names.
        held = _held_function(function)
        inner = parameters_of(held) if held is not None else None
        if inner is not None:
            kinds = {p.declared.kind for p in inner}
            named = (replace(p, is_guess=True) for p in inner if p.is_named)
            others = (p for p in own if not p.is_named)
            others = (replace(p, is_guess=p.declared.kind not in kinds) for p in others)
            return _through(own, (*named, *others))
    return own


def _own_parameters(function: Callable[..., Any]) -> tuple[Parameter, ...] | None:
    """Return the parameters that a callable itself declares."""
    call = inspect.getattr_static(type(function), "__call__", None)
    has_signature = isinstance(getattr(function, "__signature__", None), inspect.Signature)
    if type(call) is FunctionType and not has_signature and not isinstance(function, type):
        inner = parameters_of(call)
        return inner and _without_bound(inner, (function,), {})
    if type(function) is not FunctionType and _wrapped(function) is not None:  # such as wrapt's
        return _everything(function)
    try:
        signature = inspect.signature(_without_copied_signature(function), follow_wrapped=False)
    except (ValueError, TypeError):  # some builtins
        return None
    return tuple(Parameter(p, function) for p in signature.parameters.values())


def _everything(function: Callable[..., Any]) -> tuple[Parameter, ...]:
    return (
        Parameter(inspect.Parameter("args", _VAR_POSITIONAL), function),
        Parameter(inspect.Parameter("kwargs", _VAR_KEYWORD), function),
    )


def _without_copied_signature(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function without a `__signature__` that `functools.wraps` copied."""
    own = vars(function).get("__signature__") if isinstance(function, FunctionType) else None
    if own is None or own is not getattr(_wrapped(function), "__signature__", None):
        return function
    assert isinstance(function, FunctionType)
    bare = FunctionType(
        function.__code__, {}, function.__name__, function.__defaults__, function.__closure__
    )
    bare.__kwdefaults__, bare.__annotations__ = function.__kwdefaults__, function.__annotations__
    return bare


def _wrapped(function: Callable[..., Any]) -> Callable[..., Any] | None:
    """Return the function that a decorator names in `__wrapped__`."""
    if isinstance(function, type):
        return None
    # Not any attribute: an object may answer to every name.
    if "__wrapped__" not in getattr(function, "__dict__", ()) and not hasattr(
        type(function), "__wrapped__"
    ):
        return None
    wrapped = getattr(function, "__wrapped__", None)
    return wrapped if callable(wrapped) and wrapped is not function else None


def _held_function(function: Callable[..., Any]) -> Callable[..., Any] | None:
    """Return the only function in the closure or in the attributes of a callable."""
    values: list[Any] = []
    if isinstance(function, FunctionType):
        for cell in function.__closure__ or ():
            try:
                values.append(cell.cell_contents)
            except ValueError:  # an empty cell
                continue
    else:
        values += getattr(function, "__dict__", {}).values()
    held = [v for v in values if callable(v) and not isinstance(v, type) and v is not function]
    return held[0] if len(held) == 1 else None


def _through(own: Sequence[Parameter], inner: Collection[Parameter]) -> tuple[Parameter, ...]:
    """Return a decorator's own parameters, and those of the function that it passes on."""
    kinds = {p.declared.kind for p in own}
    has_args, has_kwargs = _VAR_POSITIONAL in kinds, _VAR_KEYWORD in kinds
    names = {p.name for p in own if p.is_named}
    passed = []
    for parameter in inner:
        kind = parameter.declared.kind
        if kind in (_POSITIONAL_ONLY, _VAR_POSITIONAL) and not has_args:
            continue
        if kind in (_KEYWORD_ONLY, _VAR_KEYWORD) and not has_kwargs:
            continue
        if kind is _POSITIONAL_OR_KEYWORD and not (has_args and has_kwargs):
            if not (has_args or has_kwargs):
                continue
            kind = _POSITIONAL_ONLY if has_args else _KEYWORD_ONLY
        if parameter.name not in names:
            passed.append(replace(parameter.of_kind(kind), is_injectable=parameter.is_named))
    together = [p for p in own if p.is_named] + passed
    positional = [p for p in together if p.is_positional]
    # No parameter before a positional-only one can be passed by keyword.
    numbers = (n for n, p in enumerate(positional) if p.declared.kind is _POSITIONAL_ONLY)
    last = max(numbers, default=-1)
    return (
        *(p.of_kind(_POSITIONAL_ONLY) if n <= last else p for n, p in enumerate(positional)),
        *(p for p in together if p.declared.kind is _VAR_POSITIONAL),
        *(p for p in together if p.declared.kind is _KEYWORD_ONLY),
        *(p for p in together if p.declared.kind is _VAR_KEYWORD),
    )


def _without_bound(
    parameters: Sequence[Parameter], args: Sequence[Any], keywords: Mapping[str, Any]
) -> tuple[Parameter, ...]:
    """Return the parameters that a `functools.partial` with these arguments leaves open.

    A call could replace a bound keyword, but the context, which all steps share, must not.
    """
    number = min(len(args), sum(p.is_positional for p in parameters))
    remaining = []
    is_keyword_only = False
    for parameter in parameters[number:]:  # positional parameters are the first ones
        kind = parameter.declared.kind
        if parameter.name in keywords and kind in (_POSITIONAL_OR_KEYWORD, _KEYWORD_ONLY):
            is_keyword_only = is_keyword_only or kind is _POSITIONAL_OR_KEYWORD
            continue
        if is_keyword_only and kind is _VAR_POSITIONAL:
            continue
        if is_keyword_only and kind is _POSITIONAL_OR_KEYWORD:
            parameter = parameter.of_kind(_KEYWORD_ONLY)
        remaining.append(parameter)
    return tuple(remaining)
