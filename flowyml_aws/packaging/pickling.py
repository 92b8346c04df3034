"""Pickling of code: by reference if the job loads it, by value otherwise.

Functions and classes of modules and of the script are references. Functions of notebook cells,
closures, lambdas and functions that differ from their file are pickled by value; if the job loads
their module, they use its globals there.
"""

from __future__ import annotations

import copyreg
import functools
import inspect
import io
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from types import CellType, CodeType, FunctionType
from typing import Any

import cloudpickle
from cloudpickle import cloudpickle as internals

from flowyml_aws.code.bindings import Binding, binding_of, raw_value
from flowyml_aws.code.members import closure_variables
from flowyml_aws.code.ownership import is_decorated, is_dispatching, users_code
from flowyml_aws.core.modules import is_users_module
from flowyml_aws.core.step import Step
from flowyml_aws.core.step_objects import (
    function_of,
    has_own_method,
    is_flowyml_step,
    is_step,
    own_state,
    unwrap_step,
)
from flowyml_aws.runtime.flowyml_map_task import map_task_of
from flowyml_aws.runtime.payload import (
    cached_function,
    cell_of_function,
    dispatching_function,
    fill_cell,
    globals_of_module,
    new_cell,
    replaced_function,
    step_function,
)
from flowyml_aws.scripts import resolve, stable_name

__all__ = [
    "dump_code",
    "dump_parts",
    "dump_without",
    "functions_of",
    "is_picklable",
    "is_step_function",
    "variables_of",
]

_CacheWrapper = type(functools.lru_cache(lambda: None))


def dump_code(
    value: Any,
    loaded: Mapping[Binding, Any] | None = None,
    by_value: Collection[Binding] = (),
) -> tuple[bytes, set[str]]:
    """Pickle a value, and return also the names of the files whose code was pickled by value.

    Args:
        value: The value.
        loaded: Values that the job has already, by name; they become references.
        by_value: Names of functions and classes that the job must not load.

    Raises:
        Exception: The value can't be pickled. Any class is possible: pickling runs its code.
    """
    (pickled,), files = dump_parts([value], loaded, by_value)
    return pickled, files


def dump_parts(
    values: Iterable[Any],
    loaded: Mapping[Binding, Any] | None = None,
    by_value: Collection[Binding] = (),
) -> tuple[list[bytes], set[str]]:
    """Pickle values one after the other; an object in several of them stays one object.

    One unpickler must load all parts in this order. The first parts do not depend on later ones.

    Args:
        values: The values.
        loaded: Same as in `dump_code`.
        by_value: Same as in `dump_code`.

    Raises:
        Exception: Same as in `dump_code`.
    """
    buffer = io.BytesIO()
    kind = _ReferringPickler if loaded else _Pickler
    pickler = kind(buffer, loaded or {}, by_value)
    parts = []
    for value in values:
        pickler.dump(value)
        parts.append(buffer.getvalue())
        buffer.seek(0)
        buffer.truncate()
    return parts, pickler.files


def dump_without(module: str, value: Any) -> bytes | None:
    """Pickle a value; return None if it can't be pickled, or if it needs a module of the user."""
    buffer = io.BytesIO()
    pickler = _Pickler(buffer, {}, ())
    try:
        pickler.dump(value)
    except Exception:  # pickling can raise any exception: `__reduce__` is the user's code
        return None
    return None if module in pickler.modules else buffer.getvalue()


def is_picklable(value: Any, by_value: Collection[Binding] = ()) -> bool:
    """Return whether `dump_code` can pickle a value."""
    try:
        dump_code(value, by_value=by_value)
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
    if module is None or "<" in function.__qualname__:
        return False
    value: Any = module
    for name in function.__qualname__.split("."):
        value = getattr(value, name, None)
    return is_step(value) and function_of(value) is function


def variables_of(function: FunctionType) -> dict[str, Any]:
    """Return the globals and closure variables that a function uses, with their values."""
    code = function.__code__
    names = sorted(_names_used(code) & function.__globals__.keys())
    return {name: function.__globals__[name] for name in names} | closure_variables(function)


def _names_used(code: CodeType) -> set[str]:
    inner = (const for const in code.co_consts if isinstance(const, CodeType))
    return set(code.co_names).union(*map(_names_used, inner))


class _Globals:
    """The globals of a module in the job."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __reduce__(self) -> Any:
        return globals_of_module, (self._module,)


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # it ships no types
    def __init__(
        self, buffer: io.BytesIO, loaded: Mapping[Binding, Any], by_value: Collection[Binding]
    ) -> None:
        super().__init__(buffer, protocol=5)
        self.files: set[str] = set()
        self.modules: set[str] = set()
        self._by_value = by_value
        self._cells = _cells_of(by_value)
        self._names = {id(value): name for name, value in loaded.items() if _has_identity(value)}

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, FunctionType | type) and (code := users_code(obj)) is not None:
            return self._reduce_code(code)
        if isinstance(obj, FunctionType | _CacheWrapper) and is_decorated(obj):
            return self._reduce_decorated(obj)
        if isinstance(obj, CellType):
            return self._reduce_cell(obj)
        if isinstance(obj, CodeType):  # code objects are pickled only by value
            self.files.add(obj.co_filename)
        if is_flowyml_step(obj):  # a step calls it; FlowyML may be missing in the job
            return _reduce_flowyml_step(obj)
        return super().reducer_override(obj)

    def _reduce_decorated(self, value: Any) -> Any:
        """Return a function that a decorator of a package wraps."""
        if not self._is_by_value(binding_of(value, stable_name)):
            return super().reducer_override(value)
        if isinstance(value, _CacheWrapper):
            return cached_function, (value.__wrapped__, value.cache_parameters())
        if is_dispatching(value):
            return dispatching_function, (dict(value.registry),)
        return self._dynamic_function_reduce(value)

    def _reduce_cell(self, cell: CellType) -> Any:
        """Return a variable of closures, which stays one variable for all functions that use it."""
        contents = None
        with suppress(ValueError):  # not assigned yet
            contents = (cell.cell_contents,)
        place = self._cells.get(id(cell))
        make, arguments = (new_cell, ()) if place is None else (cell_of_function, place)
        return make, arguments, contents, None, None, fill_cell

    def _dynamic_function_reduce(self, func: FunctionType) -> Any:
        # cloudpickle gives each function variables of its own.
        reduced = super()._dynamic_function_reduce(func)
        make, (*arguments, _), (attributes, slots), *others = reduced
        slots = {**slots, "__closure__": None}
        return make, (*arguments, func.__closure__), (attributes, slots), *others

    def _is_by_value(self, binding: Binding | None) -> bool:
        return binding is None or binding.module == "__main__" or binding in self._by_value

    def _reduce_code(self, code: Any) -> Any:
        binding = binding_of(code, stable_name)
        if binding is None or self._is_by_value(binding):
            if isinstance(code, FunctionType):
                return self._reduce_function(code, binding)
            return internals._dynamic_class_reduce(code)
        self.modules.add(binding.module)
        if isinstance(code, FunctionType) and is_step_function(code):
            return step_function, (binding.module, binding.name)
        return resolve, (binding.module, binding.name)

    def _reduce_function(self, function: FunctionType, binding: Binding | None) -> Any:
        """Return a function by value, which uses the globals of its module in the job."""
        reduced = self._dynamic_function_reduce(function)
        name = str(function.__globals__.get("__name__"))
        module = stable_name(name)
        # Methods that named tuples and attrs generate have other globals than their module.
        has_module = vars(sys.modules.get(name, object)) is function.__globals__
        if module == "__main__" or not has_module or not is_users_module(module):
            return reduced
        make, (code, _, *rest), (attributes, slots), *others = reduced
        self.modules.add(module)
        slots = {**slots, "__globals__": {}, "__module__": stable_name(function.__module__)}
        arguments = (code, _Globals(module), *rest)
        if binding is not None:
            # Other objects of the job, such as a list of handlers, refer to the function, too.
            make, arguments = replaced_function, (make, binding, *arguments)
        return make, arguments, (attributes, slots), *others


def _reduce_flowyml_step(step: Any) -> Any:
    if has_own_method(step):
        state = {**own_state(step), "func": step.func}
        return copyreg.__newobj__, (type(step),), state  # type: ignore[attr-defined]
    return Step, (map_task_of(step) or function_of(step), step.name)


class _ReferringPickler(_Pickler):
    def persistent_id(self, obj: Any) -> Any:
        """Return the name of a value that the job has, so that it is the same object there."""
        name = self._names.get(id(obj))
        return None if name is None else (name.module, name.name)


def _cells_of(bindings: Collection[Binding]) -> dict[int, tuple[Binding, int, int]]:
    """Return the closure variables of functions that replace those of the job, by their address."""
    cells: dict[int, tuple[Binding, int, int]] = {}
    for binding in bindings:
        function: Any = None
        with suppress(LookupError, ImportError):  # methods can name a module that does not exist
            function = unwrap_step(raw_value(binding.module, binding.name))
        function = getattr(function, "__func__", function)  # static and class methods
        if isinstance(function, FunctionType) and binding_of(function, stable_name) == binding:
            closure = function.__closure__ or ()
            for position, cell in enumerate(closure):
                cells.setdefault(id(cell), (binding, position, len(closure)))
    return cells


def _has_identity(value: Any) -> bool:
    return not isinstance(value, type(None) | bool | int | float | complex | str | bytes | tuple)
