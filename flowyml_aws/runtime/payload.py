"""The payload of a job: its steps, and the values that differ from those of the loaded program."""

from __future__ import annotations

import functools
import io
import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from operator import is_
from types import CellType, CodeType, FunctionType
from typing import Any, cast

from flowyml_aws.code.bindings import Binding, raw_value
from flowyml_aws.core.errors import FlowymlError, PipelineFileError
from flowyml_aws.core.loading import importing
from flowyml_aws.core.step import Step
from flowyml_aws.core.step_objects import unwrap_step
from flowyml_aws.runtime.missing_modules import module_advice
from flowyml_aws.runtime.snapshot import remember_source
from flowyml_aws.scripts import resolve

__all__ = [
    "CarriedValue",
    "PackedSteps",
    "Payload",
    "cached_function",
    "cell_of_function",
    "dispatching_function",
    "fill_cell",
    "globals_of_module",
    "load_error",
    "load_payload",
    "new_cell",
    "read_given",
    "read_payload",
    "replaced_function",
    "step_function",
]


@dataclass(frozen=True, slots=True)
class CarriedValue:
    """A value of the client that replaces the one of the loaded program."""

    binding: Binding
    value: Any


@dataclass(frozen=True, slots=True)
class Payload:
    """The steps of a job by name, the context values that they read, and the carried values.

    Attributes:
        deleted: Names that the loaded program has, but not the client.
    """

    steps: Mapping[str, Step]
    context: Mapping[str, Any]
    values: Sequence[CarriedValue] = ()
    deleted: Sequence[Binding] = ()


@dataclass(frozen=True, slots=True)
class PackedSteps:
    """The stored form of a payload.

    Attributes:
        sources: Source text of the files whose code was pickled by value (notebook cells, changed
            functions), by the file name in the code object: tracebacks then show these lines.
        pickled: The pickled `Payload`.
        large: Digests of the pickled large values that are loaded before it.
        uses_flowyml: Whether the user's modules import FlowyML.
        given: Pickled values by name that the script has before its top level runs.
        evaluated: Digests of the values that the job evaluates again, as the client found them.
        by_source: Those of these values whose functions are compared by their source.
    """

    sources: Mapping[str, str]
    pickled: bytes
    large: Sequence[str] = ()
    uses_flowyml: bool = False
    given: bytes | None = None
    evaluated: Mapping[Binding, str] = field(default_factory=dict)
    by_source: Sequence[Binding] = ()


def read_payload(data: bytes) -> PackedSteps:
    """Return the stored form of a payload. The digest of the data must have been verified."""
    packed = pickle.loads(data)  # noqa: S301 - its digest is verified
    assert isinstance(packed, PackedSteps)
    return packed


def read_given(given: bytes | None) -> dict[str, Any]:
    """Return the values by name that the script has before its top level runs."""
    values = {} if given is None else pickle.loads(given)  # noqa: S301 - part of a payload
    assert isinstance(values, dict)
    return values


class _Parts:
    """A file of several parts, one after the other."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._files = [io.BytesIO(part) for part in parts]

    def read(self, size: int = -1) -> bytes:
        return self._file().read(size)

    def readline(self) -> bytes:
        return self._file().readline()

    def _file(self) -> io.BytesIO:
        while len(self._files) > 1 and self._files[0].tell() == len(self._files[0].getbuffer()):
            del self._files[0]
        return self._files[0]


def load_payload(packed: PackedSteps, large: Sequence[bytes] = ()) -> Payload:
    """Load the steps of a job, and give the program the values that it had on the client.

    Args:
        packed: The payload.
        large: Pickled large values of the payload, in its order. Their digests must have been
            verified.

    Raises:
        PipelineFileError: A module of the steps can't be imported here, or runs a pipeline.
    """
    for name, text in packed.sources.items():
        remember_source(name, text)
    try:
        with importing("A module of the steps"):
            unpickler = _Unpickler(_Parts([*large, packed.pickled]))
            for _ in large:
                unpickler.load()
            payload = unpickler.load()
            _restore_values(payload)
    except FlowymlError:
        raise
    except (Exception, SystemExit) as error:  # unpickling imports the user's modules
        raise load_error(error) from error
    assert isinstance(payload, Payload)
    return payload


def load_error(error: BaseException) -> PipelineFileError:
    """Return the error for code of the user that fails while a job loads it."""
    fix = module_advice(error) or (
        "make it work on the machine of the job, or move what only the client needs under "
        '`if __name__ == "__main__":`'
    )
    return PipelineFileError(
        what=f"The program can't be loaded in this job: {type(error).__name__}: {error}",
        why="each job executes the script up to its first run, and imports the steps' modules",
        fix=fix,
    )


def _restore_values(payload: Payload) -> None:
    for carried in payload.values:
        owner, name = _place_of(carried.binding)
        setattr(owner, name, carried.value)
    for binding in payload.deleted:
        owner, name = _place_of(binding)
        with suppress(AttributeError):  # not defined on this machine
            delattr(owner, name)


def _place_of(binding: Binding) -> tuple[Any, str]:
    """Return the module or class that has a name, and the name in it."""
    *owners, name = binding.name.split(".")
    owner: Any = import_module(binding.module)
    for attribute in owners:
        owner = unwrap_step(getattr(owner, attribute))
    return owner, name


class _Unpickler(pickle.Unpickler):
    def persistent_load(self, binding: Any) -> Any:
        """Return the value that a name has in this process (see `packaging.pickling`)."""
        return raw_value(*binding)


def step_function(module: str, name: str) -> Callable[..., Any]:
    """Return the function of a step by its name, as referenced in payloads."""
    return cast("Callable[..., Any]", unwrap_step(resolve(module, name)))


def globals_of_module(module: str) -> dict[str, Any]:
    """Return the globals of a module, for its functions that are pickled by value."""
    return vars(import_module(module))


def replaced_function(
    make: Callable[..., Any],
    binding: Binding,
    code: CodeType,
    names: dict[str, Any],
    name: str | None,
    defaults: tuple[Any, ...] | None,
    closure: tuple[CellType, ...] | None,
) -> Any:
    """Return the function of a name in this process with other code, or else a new function.

    All objects that refer to the function then have the other code, too. Its closure variables are
    those of `cell_of_function`.
    """
    function = _function_of(binding)
    own = () if function is None else function.__closure__ or ()
    is_same = len(own) == len(closure or ()) and all(map(is_, own, closure or ()))
    if function is None or function.__globals__ is not names or not is_same:
        return make(code, names, name, defaults, closure)
    function.__code__ = code
    vars(function).clear()
    return function


def new_cell() -> CellType:
    """Return a closure variable that is not assigned."""
    return CellType()


def cell_of_function(binding: Binding, position: int, count: int) -> CellType:
    """Return a closure variable of a function in this process, or else a new one.

    Args:
        binding: Name of the function.
        position: Position of the variable.
        count: Number of variables that the function must have.
    """
    function = _function_of(binding)
    cells = () if function is None else function.__closure__ or ()
    return cells[position] if len(cells) == count else CellType()


def fill_cell(cell: CellType, contents: tuple[Any]) -> None:
    """Assign a closure variable."""
    cell.cell_contents = contents[0]


def _function_of(binding: Binding) -> FunctionType | None:
    function: Any = None
    with suppress(LookupError):
        function = unwrap_step(raw_value(binding.module, binding.name))
        function = getattr(function, "__func__", function)  # static and class methods
    return function if isinstance(function, FunctionType) else None


def cached_function(function: Any, parameters: Mapping[str, Any]) -> Any:
    """Return a function with an empty cache, for `functools.lru_cache` wrappers by value."""
    return functools.lru_cache(**parameters)(function)


def dispatching_function(registry: Mapping[type, Any]) -> Any:
    """Return a function that dispatches on its first argument, as `functools.singledispatch`."""
    dispatching = functools.singledispatch(registry[object])
    for kind, function in registry.items():
        dispatching.register(kind, function)
    return dispatching
