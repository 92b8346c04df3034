"""Pickling of code: by reference if the job can import it, by value otherwise.

Functions of the script itself (`__main__`) and of notebook cells, closures and lambdas are pickled
by value; functions of modules in the bundle or of installed packages by reference.
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
    """Pickle a value, and return also the names of the files whose code was pickled by value.

    Raises:
        Exception: The value can't be pickled. Any class is possible: pickling runs its code.
    """
    buffer = io.BytesIO()
    pickler = _Pickler(buffer)
    pickler.dump(value)
    return buffer.getvalue(), pickler.files


def is_picklable(value: Any) -> bool:
    """Return whether `dump_code` can pickle a value."""
    try:
        dump_code(value)
    except Exception:  # pickling can raise any exception: `__reduce__` is the user's code
        return False
    return True


def functions_of(step: Step) -> Iterator[FunctionType]:
    """Yield a step's function and its condition, without their decorators."""
    for function in (step.func, step.condition):
        unwrapped = inspect.unwrap(function) if function is not None else None
        if isinstance(unwrapped, FunctionType):
            yield unwrapped


def is_step_function(function: FunctionType) -> bool:
    """Return whether the function's name in its module is a Step, which pickle can't resolve."""
    module = sys.modules.get(function.__module__)
    if module is None or function.__module__ == "__main__" or "<" in function.__qualname__:
        return False
    value: Any = module
    for name in function.__qualname__.split("."):
        value = getattr(value, name, None)
    return is_step(value) and value.func is function


def variables_of(function: FunctionType) -> dict[str, Any]:
    """Return the globals and closure variables that a function uses, with their values."""
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
        if isinstance(obj, CodeType):  # code objects are pickled only by value
            self.files.add(obj.co_filename)
        if is_flowyml_step(obj):  # a step calls it; FlowyML may be missing in the job
            return Step, (obj.func, obj.name)
        return super().reducer_override(obj)
