"""Code as bytes: by reference where the job can import it, by value where it cannot.

Functions of the script itself (`__main__`), of notebook cells, closures and lambdas go by value;
those of modules in the bundle or of installed packages go by reference.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import sys
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

import cloudpickle

from flowyml_aws.core.step import Step
from flowyml_aws.core.step_objects import is_flowyml_step, is_step
from flowyml_aws.runtime.code import step_function

__all__ = [
    "dump_code",
    "functions_of",
    "is_picklable",
    "is_step_function",
    "variables_of",
]


def dump_code(value: Any) -> tuple[bytes, set[str]]:
    """A value's pickle, and the names of the files whose code went into it by value.

    Raises:
        Exception: It can't be pickled; of any class, as the value's own code can raise it.
    """
    buffer = io.BytesIO()
    pickler = _Pickler(buffer)
    pickler.dump(value)
    return buffer.getvalue(), pickler.files


def is_picklable(value: Any) -> bool:
    """Whether `dump_code` takes it."""
    try:
        dump_code(value)
    except Exception:  # a pickle error has any class: whatever `__reduce__` raises
        return False
    return True


def functions_of(step: Step) -> Iterator[FunctionType]:
    """A step's function and its condition, without decorators around them."""
    for function in (step.func, step.condition):
        unwrapped = inspect.unwrap(function) if function is not None else None
        if isinstance(unwrapped, FunctionType):
            yield unwrapped


def is_step_function(function: FunctionType) -> bool:
    """Whether a module has a Step where its function would be: pickle alone would not find it."""
    module = sys.modules.get(function.__module__)
    if module is None or function.__module__ == "__main__" or "<" in function.__qualname__:
        return False
    found: Any = module
    for name in function.__qualname__.split("."):
        found = getattr(found, name, None)
    return is_step(found) and found.func is function


def variables_of(function: FunctionType) -> dict[str, Any]:
    """The globals and closed-over variables that a function names, with their values."""
    code = function.__code__
    names = sorted(_names_used(code) & function.__globals__.keys())
    used = {name: function.__globals__[name] for name in names}
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # not assigned yet
            used[name] = cell.cell_contents
    return used


def _names_used(code: CodeType) -> set[str]:
    inner = (const for const in code.co_consts if isinstance(const, CodeType))
    return set(code.co_names).union(*map(_names_used, inner))


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # it ships no types
    def __init__(self, buffer: io.BytesIO) -> None:
        super().__init__(buffer, protocol=5)
        self.files: set[str] = set()

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, FunctionType) and is_step_function(obj):
            return step_function, (obj.__module__, obj.__qualname__)
        if isinstance(obj, CodeType):  # only code that goes by value is pickled
            self.files.add(obj.co_filename)
        if is_flowyml_step(obj):  # one that a step calls: the job need not have FlowyML
            return Step, (obj.func, obj.name)
        return super().reducer_override(obj)
