"""Copies of values in memory, which share large buffers with the value itself.

A value is taken apart as by pickle, protocol 5. Its structure is copied, and so are its buffers (of
arrays and data frames) up to a limit. A copy refers to larger buffers, but can't write to them.
Functions, classes, modules and immutable objects of libraries are not copied at all.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import sys
import weakref
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, NoReturn

import cloudpickle

from flowyml_aws.artifacts.codecs.tensors import storage_reducers

__all__ = ["MAX_COPIED_BYTES", "Loan", "Snapshot", "UncopyableError", "is_scalar", "shared_between"]

MAX_COPIED_BYTES = 16 * 1024 * 1024
"""The buffers of a value are copied up to this size in total: a copy takes milliseconds."""

_SCALARS = frozenset({type(None), bool, int, float, complex, str, bytes})
_IDENTICAL = (type, FunctionType, BuiltinFunctionType, ModuleType, weakref.ref)
# Immutable objects of libraries. Subclasses of users may have attributes that can be changed.
_IMMUTABLE = {
    "numpy": ("dtype",),
    "torch": ("dtype", "device", "layout", "memory_format"),
    "pandas": ("Index", "api.extensions.ExtensionDtype"),
    "pyarrow": (
        "Array",
        "ChunkedArray",
        "DataType",
        "Field",
        "RecordBatch",
        "Scalar",
        "Schema",
        "Table",
    ),
}
_CLONED = {"polars": ("DataFrame", "Series", "LazyFrame")}  # their buffers are copied on write
_UNCHANGING = (str, bytes, tuple, frozenset, slice, PurePath, *_IDENTICAL)


class UncopyableError(Exception):
    """A value has no copies: it is read only once, or belongs to this process."""


class Loan:
    """Buffers of a value that copies of it use.

    Args:
        buffers: The buffers. As long as a copy exists, it refers to these objects.
    """

    def __init__(self, buffers: Sequence[object]) -> None:
        self._buffers = [weakref.ref(buffer) for buffer in buffers]

    @property
    def in_use(self) -> bool:
        """True as long as an object refers to one of the buffers."""
        return any(buffer() is not None for buffer in self._buffers)


@dataclass(frozen=True, slots=True)
class _Buffer:
    """Memory of a value.

    Attributes:
        view: The memory.
        of_tensor: Whether it is that of a PyTorch tensor.
    """

    view: memoryview
    of_tensor: bool

    def copy(self) -> bytes | bytearray:
        return bytes(self.view) if self.view.readonly else bytearray(self.view)


class Snapshot:
    """A value as it is now, except for the content of its large buffers.

    Args:
        value: The value. Its large buffers must not be changed as long as a copy is in use.

    Attributes:
        paths: Paths in the value.
        is_large: Whether the buffers are too large to be copied for each reader.

    Raises:
        UncopyableError: The value, or an object in it, can't be copied.
    """

    def __init__(self, value: Any) -> None:
        self._take(value, _Pickler(io.BytesIO()))

    @classmethod
    def with_writable_arrays(cls, value: Any) -> Snapshot:
        """Take a snapshot whose copies can change arrays that are read-only in the value."""
        snapshot = cls.__new__(cls)
        snapshot._take(value, _WritablePickler(io.BytesIO()))
        return snapshot

    def _take(self, value: Any, pickler: _Pickler) -> None:
        try:
            pickler.dump(value)
        except Exception as error:  # runs code of the value's classes
            raise UncopyableError(f"{type(error).__name__}: {error}") from error
        self._stream = pickler.stream.getbuffer()
        self._buffers = pickler.buffers
        self._identical = pickler.identical
        self.paths: Sequence[Path] = [p for p in pickler.identical if isinstance(p, Path)]
        self.is_large = sum(b.view.nbytes for b in self._buffers) > MAX_COPIED_BYTES

    def copy(self) -> Any:
        """Return a copy that shares no memory with the value."""
        return self._load([buffer.copy() for buffer in self._buffers])

    def lend(self) -> tuple[Any, Loan]:
        """Return a copy that can't write to large buffers, and the loan of these buffers."""
        if not self.is_large:
            return self.copy(), Loan(())
        import ctypes  # few jobs lend large buffers

        lent: list[object] = []
        buffers: list[Any] = []
        for buffer in self._buffers:
            if buffer.of_tensor:
                buffers.append(buffer.copy())  # PyTorch would write to read-only memory
                continue
            if buffer.view.readonly or not buffer.view.nbytes:
                buffers.append(buffer.view)
                continue
            # A view of the buffer itself would not show whether it is still used.
            source = (ctypes.c_char * buffer.view.nbytes).from_buffer(buffer.view)
            lent.append(source)
            buffers.append(memoryview(source).cast("B").toreadonly())
        return self._load(buffers), Loan(lent)

    def _load(self, buffers: Sequence[Any]) -> Any:
        return _Unpickler(io.BytesIO(self._stream), buffers, self._identical).load()


def is_scalar(value: object) -> bool:
    """Return whether a value is of a built-in immutable type without items."""
    return type(value) in _SCALARS


def shared_between(values: Mapping[str, Any]) -> set[str]:
    """Return the names of values that contain a mutable object of an earlier value."""
    seen: set[int] = set()
    ranges: list[tuple[int, int]] = []
    shared: set[str] = set()
    kept: list[object] = []  # so that no address is reused
    for name, value in values.items():
        if is_scalar(value):
            continue
        pickler = _Pickler(io.BytesIO())
        with contextlib.suppress(Exception):  # what has no copies is compared as far as it goes
            pickler.dump(value)
        objects = [value, *(item for _, item in pickler.memo.copy().values())]
        kept += objects
        mutable = {id(item) for item in objects if _is_mutable(item)}
        own_ranges = list(_ranges(pickler.buffers))
        if (mutable & seen) - _class_attributes(objects) or any(
            _overlap(own, other) for own in own_ranges for other in ranges
        ):
            shared.add(name)
        seen |= mutable
        ranges += own_ranges
    return shared


def _class_attributes(objects: Sequence[object]) -> set[int]:
    """Return the addresses of attributes of classes, which instances pass to pickle."""
    classes = {base for item in objects if isinstance(item, type) for base in item.__mro__}
    return {id(attribute) for cls in classes for attribute in vars(cls).values()}


def _is_mutable(item: object) -> bool:
    if isinstance(item, _UNCHANGING) or _is_a(item, _IMMUTABLE):
        return False
    return not type(item).__name__.startswith("cython_function")


def _ranges(buffers: Sequence[_Buffer]) -> Iterator[tuple[int, int]]:
    import ctypes

    for view in (buffer.view for buffer in buffers):
        if view.nbytes and not view.readonly:
            start = ctypes.addressof(ctypes.c_char.from_buffer(view))
            yield start, start + view.nbytes


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _is_a(item: object, classes: Mapping[str, Sequence[str]]) -> bool:
    """Return whether an object is of a class of a library that is imported already."""
    library = type(item).__module__.partition(".")[0]
    if library not in classes:
        return False
    module = sys.modules[library]
    for path in classes[library]:
        target: Any = module
        for name in path.split("."):
            target = getattr(target, name, None)
        if isinstance(target, type) and isinstance(item, target):
            return True
    return False


def _refuse_open_file(file: io.TextIOWrapper) -> NoReturn:
    raise TypeError(f"cannot copy the open file {getattr(file, 'name', '')!r}")


def _reduce_view(view: memoryview) -> tuple[Any, ...]:
    if view.format != "B" or view.ndim != 1:
        raise TypeError(f"cannot copy a memoryview of format {view.format!r}")
    return memoryview, (bytes(view) if view.readonly else bytearray(view),)


class _Pickler(pickle.Pickler):
    def __init__(self, stream: io.BytesIO) -> None:
        # cloudpickle's table has views of dicts and other types that pickle lacks.
        reducers: dict[type, Any] = {
            io.TextIOWrapper: _refuse_open_file,
            memoryview: _reduce_view,
            **{
                kind: self._reducer_of_storage(reduce)
                for kind, reduce in storage_reducers().items()
            },
        }
        self.dispatch_table = ChainMap(reducers, cloudpickle.Pickler.dispatch_table)
        super().__init__(stream, protocol=5, buffer_callback=self._keep)  # reads the table
        self.stream = stream
        self.buffers: list[_Buffer] = []
        self._is_tensor = False
        self.identical: list[object] = []

    def _keep(self, buffer: pickle.PickleBuffer) -> None:
        self.buffers.append(_Buffer(buffer.raw(), self._is_tensor))
        self._is_tensor = False

    def _reducer_of_storage(self, reduce: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def reduced(storage: Any) -> Any:
            if getattr(storage, "_untyped_storage", storage).device.type != "cpu":
                return storage.__reduce__()  # the codec's reducer moves it to the CPU
            function, arguments = reduce(storage)
            self._is_tensor = isinstance(arguments[0], pickle.PickleBuffer)
            return function, arguments

        return reduced

    def reducer_override(self, obj: Any) -> Any:
        if obj is _identical or obj is _clone:
            return NotImplemented
        if isinstance(obj, (PurePath, *_IDENTICAL)) or _is_a(obj, _IMMUTABLE):
            return _identical, self._number(obj)
        if _is_a(obj, _CLONED):
            return _clone, self._number(obj)
        return NotImplemented

    def _number(self, obj: object) -> tuple[int]:
        self.identical.append(obj)
        return (len(self.identical) - 1,)


class _WritablePickler(_Pickler):
    def reducer_override(self, obj: Any) -> Any:
        if type(obj).__module__ == "numpy" and type(obj).__name__ == "ndarray":
            return NotImplemented if obj.flags.writeable else obj.copy().__reduce_ex__(5)
        return super().reducer_override(obj)


class _Unpickler(pickle.Unpickler):
    def __init__(
        self, stream: io.BytesIO, buffers: Sequence[Any], identical: Sequence[Any]
    ) -> None:
        super().__init__(stream, buffers=buffers)
        self._identical = identical

    def find_class(self, module: str, name: str) -> Any:
        if module == __name__ and name == _identical.__name__:
            return self._identical.__getitem__
        if module == __name__ and name == _clone.__name__:
            return lambda number: self._identical[number].clone()
        return super().find_class(module, name)


def _identical(number: int) -> Any:
    raise NotImplementedError(f"only {_Unpickler.__name__} resolves this: {number}")


def _clone(number: int) -> Any:
    raise NotImplementedError(f"only {_Unpickler.__name__} resolves this: {number}")
