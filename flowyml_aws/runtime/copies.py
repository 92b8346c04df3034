"""Copies of values in memory, which share large buffers with the value itself.

A value is taken apart as by pickle, protocol 5. Its structure is copied, and so are its buffers (of
arrays and data frames) up to a limit. A copy refers to larger buffers, but can't write to them.
Functions, classes, modules and immutable objects of libraries are not copied at all. Objects whose
content can't be changed in place, such as a pandas index, are copied without their content.
"""

from __future__ import annotations

import contextlib
import copy
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

__all__ = [
    "MAX_COPIED_BYTES",
    "Loan",
    "Snapshot",
    "UncopyableError",
    "WritableSnapshot",
    "is_scalar",
    "shared_between",
]

MAX_COPIED_BYTES = 16 * 1024 * 1024
"""The buffers of a value are copied up to this size in total: a copy takes milliseconds."""

_SCALARS = frozenset({type(None), bool, int, float, complex, str, bytes})
_IDENTICAL = (type, FunctionType, BuiltinFunctionType, ModuleType, weakref.ref)
_IMMUTABLE = {
    "numpy": ("dtype",),
    "torch": ("dtype", "device", "layout", "memory_format"),
    "pandas": ("api.extensions.ExtensionDtype",),
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
# Only their attributes can be changed, such as names. Their content is replaced or copied on write.
_SHALLOW = {"pandas": ("Index",), "polars": ("DataFrame", "Series", "LazyFrame")}
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
        pickler = self._pickler()
        try:
            pickler.dump(value)
        except Exception as error:  # runs code of the value's classes
            raise UncopyableError(f"{type(error).__name__}: {error}") from error
        self._stream = pickler.stream.getbuffer()
        self._buffers = pickler.buffers
        self._referenced = pickler.referenced
        self.paths: Sequence[Path] = [p for p in pickler.referenced if isinstance(p, Path)]
        self.is_large = sum(b.view.nbytes for b in self._buffers) > MAX_COPIED_BYTES

    def copy(self) -> Any:
        """Return a copy that shares no memory with the value."""
        return self._load([buffer.copy() for buffer in self._buffers])

    @staticmethod
    def _pickler() -> _Pickler:
        return _Pickler()

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
        return _Unpickler(io.BytesIO(self._stream), buffers, self._referenced).load()


class WritableSnapshot(Snapshot):
    """A snapshot whose copies can change arrays that are read-only in the value."""

    @staticmethod
    def _pickler() -> _Pickler:
        return _WritablePickler()


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
        pickler = _Pickler()
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
    kind = type(item)
    if issubclass(kind, _UNCHANGING) or (_is_a(kind, _IMMUTABLE) and not _has_names(item)):
        return False
    return not kind.__name__.startswith("cython_function")


def _has_names(item: object) -> bool:
    """Return whether an object is a structured dtype of numpy, whose names can be changed."""
    return _is_a(type(item), {"numpy": ("dtype",)}) and getattr(item, "names", None) is not None


def _ranges(buffers: Sequence[_Buffer]) -> Iterator[tuple[int, int]]:
    import ctypes

    for view in (buffer.view for buffer in buffers):
        if view.nbytes and not view.readonly:
            start = ctypes.addressof(ctypes.c_char.from_buffer(view))
            yield start, start + view.nbytes


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _is_a(kind: type, classes: Mapping[str, Sequence[str]]) -> bool:
    """Return whether a class is one of those of a library that is imported already."""
    library = kind.__module__.partition(".")[0]
    module = sys.modules.get(library)
    for path in classes.get(library, ()):
        target: Any = module
        for name in path.split("."):
            target = getattr(target, name, None)
        if isinstance(target, type) and issubclass(kind, target):
            return True
    return False


def _refuse_open_file(file: io.TextIOWrapper) -> NoReturn:
    raise TypeError(f"cannot copy the open file {getattr(file, 'name', '')!r}")


def _reduce_view(view: memoryview) -> tuple[Any, ...]:
    if view.format != "B" or view.ndim != 1:
        raise TypeError(f"cannot copy a memoryview of format {view.format!r}")
    return memoryview, (bytes(view) if view.readonly else bytearray(view),)


class _Pickler(pickle.Pickler):
    def __init__(self) -> None:
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
        self.stream = io.BytesIO()
        self.buffers: list[_Buffer] = []
        self.referenced: list[object] = []
        self._is_tensor = False
        self._reducers: dict[type, Callable[[Any], Any] | None] = {}
        super().__init__(self.stream, protocol=5, buffer_callback=self._keep)  # reads the table

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
        kind = type(obj)
        try:
            reducer = self._reducers[kind]
        except KeyError:
            reducer = self._reducers[kind] = self._reducer_of(kind)
        return NotImplemented if reducer is None else reducer(obj)

    def _reducer_of(self, kind: type) -> Callable[[Any], Any] | None:
        if issubclass(kind, (PurePath, *_IDENTICAL)) or _is_a(kind, _IMMUTABLE):
            return self._pass_on
        return self._pass_shallow_copy if _is_a(kind, _SHALLOW) else None

    def _pass_on(self, obj: Any) -> Any:
        if obj is _identical or obj is _shallow_copy or _has_names(obj):
            return NotImplemented
        return _identical, self._number(obj)

    def _pass_shallow_copy(self, obj: Any) -> Any:
        return _shallow_copy, self._number(obj)

    def _number(self, obj: object) -> tuple[int]:
        self.referenced.append(obj)
        return (len(self.referenced) - 1,)


class _WritablePickler(_Pickler):
    def _reducer_of(self, kind: type) -> Callable[[Any], Any] | None:
        if kind.__module__ == "numpy" and kind.__name__ == "ndarray":
            return _reduce_to_writable
        return super()._reducer_of(kind)


def _reduce_to_writable(array: Any) -> Any:
    return NotImplemented if array.flags.writeable else array.copy().__reduce_ex__(5)


class _Unpickler(pickle.Unpickler):
    def __init__(
        self, stream: io.BytesIO, buffers: Sequence[Any], referenced: Sequence[Any]
    ) -> None:
        super().__init__(stream, buffers=buffers)
        self._referenced = referenced

    def find_class(self, module: str, name: str) -> Any:
        if module == __name__ and name == _identical.__name__:
            return self._referenced.__getitem__
        if module == __name__ and name == _shallow_copy.__name__:
            return lambda number: copy.copy(self._referenced[number])
        return super().find_class(module, name)


def _identical(number: int) -> Any:
    raise NotImplementedError(f"only {_Unpickler.__name__} resolves this: {number}")


def _shallow_copy(number: int) -> Any:
    raise NotImplementedError(f"only {_Unpickler.__name__} resolves this: {number}")
