"""Classification of values as the user's code, which is read, or other code, known by name."""

from __future__ import annotations

import sys
import types
from functools import singledispatch
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, TypeGuard

from flowyml_aws.core.modules import is_users_function, is_users_module
from flowyml_aws.core.step_objects import unwrap_step

__all__ = ["Code", "external_name", "is_decorated", "is_dispatching", "users_code"]

Code = FunctionType | type | ModuleType
"""A piece of code with a digest of its own."""

_dispatching: Any = singledispatch(lambda _: None)


def users_code(value: object) -> Code | None:
    """Return the user's code that a value is, or None.

    A step counts as its function, and a compiled function as its module.
    """
    value = unwrap_step(value)
    if isinstance(value, FunctionType):
        return value if is_users_function(value) else None
    if isinstance(value, type):
        return value if is_users_module(value.__module__) or _is_made(value) else None
    if isinstance(value, ModuleType):
        return value if is_users_module(value.__name__) else None
    if isinstance(value, BuiltinFunctionType) and is_users_module(value.__module__):
        return sys.modules.get(value.__module__)
    return None


def external_name(value: object) -> str | None:
    """Return the name of code that is not the user's, equal in all minor versions of Python.

    Returns None for values that are not code, and for methods of most objects.
    """
    if isinstance(value, ModuleType):
        return value.__name__
    if isinstance(value, FunctionType):
        return f"{_public(value.__globals__.get('__name__'))}.{value.__qualname__}"
    if isinstance(value, type):
        return f"{_public(value.__module__)}.{value.__qualname__}"
    if isinstance(value, BuiltinFunctionType) and isinstance(value.__self__, ModuleType | None):
        return f"{_public(value.__module__)}.{value.__qualname__}"
    if isinstance(value, MethodType | BuiltinFunctionType):
        return _bound_name(value)
    return None


def is_decorated(value: Any) -> TypeGuard[Any]:
    """Return whether a value was created by a package and wraps a function of the user."""
    if isinstance(value, FunctionType):
        return value.__closure__ is not None and not _is_found_by_name(value)
    attributes = getattr(value, "__dict__", {})
    return callable(attributes.get("__wrapped__")) and not is_users_module(type(value).__module__)


def is_dispatching(value: Any) -> bool:
    """Return whether a value was created by `functools.singledispatch`."""
    return isinstance(value, FunctionType) and value.__code__ is _dispatching.__code__


def _is_made(cls: type) -> bool:
    """Return whether `types.new_class` made a class (as `make_dataclass` before Python 3.12)."""
    return cls.__module__ == types.__name__ and not hasattr(types, cls.__name__)


def _is_found_by_name(value: FunctionType) -> bool:
    # Decorators copy the names of the decorated function, so `__module__` can be the user's.
    if is_users_module(value.__module__):
        return False
    target: object = sys.modules.get(value.__module__)
    for name in value.__qualname__.split("."):
        target = getattr(target, name, None)
    return target is value


def _bound_name(value: MethodType | BuiltinFunctionType) -> str | None:
    """Return the name of a method that its module offers as a function, such as `random.random`."""
    name = getattr(value, "__name__", "")
    for home in (value.__module__, type(value.__self__).__module__):
        function = getattr(sys.modules.get(home), name, None) if home else None
        if type(function) is type(value) and function == value and not is_users_module(home):
            return f"{_public(home)}.{name}"
    return None


def _public(module: object) -> str:
    parts = str(module).split(".")
    parts[0] = parts[0].lstrip("_")
    if parts[0] in sys.stdlib_module_names:
        # Private modules differ between versions: `_functools`, `pathlib._local`.
        parts = [part for part in parts if not part.startswith("_")]
    return ".".join(parts)
