"""Whether a value is code, and whose: the user's is read, other code is known by its name."""

from __future__ import annotations

import sys
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, TypeGuard

from flowyml_aws.core.modules import is_users_function, is_users_module
from flowyml_aws.core.step_objects import unwrap_step

__all__ = ["Code", "external_name", "is_decorated", "users_code"]

Code = FunctionType | type | ModuleType
"""A piece of code with a digest of its own."""


def users_code(value: object) -> Code | None:
    """The user's code that a value is; a step is its function, compiled code is its module."""
    value = unwrap_step(value)
    if isinstance(value, FunctionType):
        return value if is_users_function(value) else None
    if isinstance(value, type):
        return value if is_users_module(value.__module__) else None
    if isinstance(value, ModuleType):
        return value if is_users_module(value.__name__) else None
    if isinstance(value, BuiltinFunctionType) and is_users_module(value.__module__):
        return sys.modules.get(value.__module__)
    return None


def external_name(value: object) -> str | None:
    """The name of code that is not the user's, equal in every minor version of Python.

    None for what is no code, and for methods of some object.
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
    """Whether something that a package made has a function inside which has no name: the user's."""
    if isinstance(value, FunctionType):
        return value.__closure__ is not None and not _stands_under_its_name(value)
    held = getattr(value, "__dict__", {})
    return callable(held.get("__wrapped__")) and not is_users_module(type(value).__module__)


def _stands_under_its_name(value: FunctionType) -> bool:
    # Decorators copy the names of what they decorate: `__module__` is the user's then.
    if is_users_module(value.__module__):
        return False
    found: object = sys.modules.get(value.__module__)
    for name in value.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is value


def _bound_name(value: MethodType | BuiltinFunctionType) -> str | None:
    """The name of a method that an installed module offers as a function: `random.random`."""
    name = getattr(value, "__name__", "")
    for home in (value.__module__, type(value.__self__).__module__):
        found = getattr(sys.modules.get(home), name, None) if home else None
        if type(found) is type(value) and found == value and not is_users_module(home):
            return f"{_public(home)}.{name}"
    return None


def _public(module: object) -> str:
    parts = str(module).split(".")
    parts[0] = parts[0].lstrip("_")
    if parts[0] in sys.stdlib_module_names:
        # Its private modules come and go: `_functools`, `pathlib._local`.
        parts = [part for part in parts if not part.startswith("_")]
    return ".".join(parts)
