"""Bindings: names in the user's modules and classes."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from flowyml_aws.code.ownership import Code
from flowyml_aws.core.modules import SCRIPTS
from flowyml_aws.core.step_objects import unwrap_step

__all__ = ["Binding", "binding_of", "raw_value"]

_UNDEFINED = object()


@dataclass(frozen=True, slots=True, order=True)
class Binding:
    """A global name of a module, or an attribute of a class in it.

    Attributes:
        module: Name of the module, which means the same in each process.
        name: The name; `Model.rate` for an attribute of a class.
    """

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module.removeprefix(SCRIPTS)}.{self.name}"


def raw_value(module: str, name: str) -> Any:
    """Return the value of a binding, without calling descriptors.

    Raises:
        LookupError: The name does not exist.
        Exception: The module can't be imported.
    """
    first, *attributes = name.split(".")
    loaded = sys.modules.get(module) or importlib.import_module(module)
    value: Any = vars(loaded)[first]
    for attribute in attributes:
        value = vars(unwrap_step(value))[attribute]
    return value


def binding_of(code: Code, stable_name: Callable[[str], str]) -> Binding | None:
    """Return the binding by which each process finds a function, a class or a module.

    Args:
        code: The user's code.
        stable_name: Returns the name of a module that means the same in each process.
    """
    if isinstance(code, ModuleType):
        return None
    module, name = code.__module__, code.__qualname__
    if "<" in name or module not in sys.modules:
        return None
    value: Any = sys.modules[module]
    for attribute in name.split("."):
        value = getattr(unwrap_step(value), attribute, _UNDEFINED)
    return Binding(stable_name(module), name) if unwrap_step(value) is code else None
