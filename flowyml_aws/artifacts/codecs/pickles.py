"""Codec for all other values: pickle protocol 5 with large buffers out of band.

Format, integers little-endian: u64 length of the pickle, u64 number of buffers, u64 size of each
buffer; the pickle; then each buffer at the next multiple of 64 bytes from the start.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import struct
from collections import ChainMap
from collections.abc import Callable
from functools import partial
from types import FunctionType
from typing import Any, NoReturn

import cloudpickle
from cloudpickle import cloudpickle as internals

from flowyml_aws.artifacts.codecs.tensors import storage_reducers
from flowyml_aws.artifacts.content import Buffer, Content
from flowyml_aws.artifacts.errors import UnpicklingFailedError
from flowyml_aws.core.code.bindings import binding_of, raw_value
from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.scripts import resolve, stable_name

__all__ = ["PickleCodec"]

_HEAD = struct.Struct("<QQ")
_ALIGNMENT = 64
# Smaller buffers are copied into the pickle: a view would keep all of the loaded memory alive.
_MIN_BUFFER_BYTES = 4096


class PickleCodec:
    """Codec for all picklable values, including classes and functions of `__main__`."""

    name = "pickle"
    version = 1

    @property
    def trusts(self) -> str:
        """Reason why decoding can run code: a pickle is a program."""
        return "reading a pickle runs whatever code it names"

    def accepts(self, value: Any) -> bool:
        """Return True. Only pickling itself shows whether a value is picklable."""
        return True

    def encode(self, value: Any) -> Content:
        """Return the pickle, and views of the value's own buffers."""
        return Content(*self.pieces(value))

    def pieces(self, value: Any) -> list[Buffer]:
        """Return the pieces of the encoded value."""
        stream = _Chunks()
        buffers: list[memoryview] = []

        def keep_in_band(buffer: pickle.PickleBuffer) -> bool:
            raw = buffer.raw()
            if raw.nbytes < _MIN_BUFFER_BYTES:
                return True
            buffers.append(raw)
            return False

        _Pickler(stream, protocol=5, buffer_callback=keep_in_band).dump(value)
        length = sum(map(len, stream.chunks))
        sizes = [buffer.nbytes for buffer in buffers]
        head = _HEAD.pack(length, len(buffers)) + struct.pack(f"<{len(sizes)}Q", *sizes)
        pieces: list[Buffer] = [head, *stream.chunks]
        end = len(head) + length
        for buffer in buffers:
            padding = -end % _ALIGNMENT
            pieces += (bytes(padding), buffer)
            end += padding + buffer.nbytes
        return pieces

    def decode(self, data: memoryview) -> Any:
        """Return the value, with its large buffers in the loaded memory."""
        length, count = _HEAD.unpack_from(data)
        end = _HEAD.size + 8 * count
        sizes = struct.unpack(f"<{count}Q", data[_HEAD.size : end])
        stream = data[end : end + length]
        end += length
        buffers = []
        for size in sizes:
            start = end + -end % _ALIGNMENT
            end = start + size
            buffers.append(data[start:end])
        if end != len(data):
            raise ValueError(f"its parts have {end} bytes in total, the object has {len(data)}")
        unpickler = _Unpickler(_Reader(stream), buffers=buffers)
        try:
            return unpickler.load()
        except FlowymlError:
            raise
        except Exception as error:
            raise UnpicklingFailedError(unpickler.place, error) from error


class _Chunks:
    """A file that collects the output of a pickler, which passes large `bytes` uncopied."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []

    def write(self, chunk: bytes) -> int:
        self.chunks.append(chunk)
        return len(chunk)


def _refuse_open_file(file: io.TextIOWrapper) -> NoReturn:
    raise TypeError(f"cannot pickle the open file {getattr(file, 'name', '')!r}")


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # it ships no types
    def __init__(
        self, *arguments: Any, by_value: frozenset[type] = frozenset(), **options: Any
    ) -> None:
        self._by_value = by_value  # classes that a pickle of their own contains
        # cloudpickle would turn an open text file into a StringIO of its content.
        reducers = {io.TextIOWrapper: _refuse_open_file, **storage_reducers()}
        self.dispatch_table = ChainMap(reducers, cloudpickle.Pickler.dispatch_table)
        super().__init__(*arguments, **options)  # reads the dispatch table

    def reducer_override(self, obj: Any) -> Any:
        # A script's classes are stored by the script's path: `__main__` is another program later.
        if isinstance(obj, type | FunctionType) and obj.__module__ == "__main__":
            binding = binding_of(obj, stable_name)
            if binding is not None and binding.module != "__main__":
                return resolve, (binding.module, binding.name)
            if isinstance(obj, type) and "<" not in obj.__qualname__:
                if obj in self._by_value:
                    return internals._dynamic_class_reduce(obj)
                by_value = _by_value(obj, self._by_value)
                return _class_of_main, (obj.__qualname__, _digest_of(obj), by_value)
        return super().reducer_override(obj)


def _by_value(cls: type, around: frozenset[type]) -> bytes:
    stream = _Chunks()
    _Pickler(stream, protocol=5, by_value=around | {cls}).dump(cls)
    return b"".join(map(bytes, stream.chunks))


def _class_of_main(name: str, digest: str, by_value: bytes) -> Any:
    """Return a class of a notebook or prompt, from `__main__` if it defines an equal class."""
    with contextlib.suppress(LookupError):
        cls = raw_value("__main__", name)
        if isinstance(cls, type) and _digest_of(cls) == digest:
            return cls
    return _Unpickler(_Reader(memoryview(by_value)), buffers=[]).load()


def _digest_of(cls: type) -> str:
    # Imported here: few values need it, and it imports the compiler's modules.
    from flowyml_aws.core.code.states import BindingReader

    return BindingReader(stable_name, "").digest_of_class(cls)


class _Reader:
    """A file over a view for an unpickler, so that the view is not copied first."""

    def __init__(self, data: memoryview) -> None:
        self._rest = data

    def read(self, count: int) -> bytes:
        data, self._rest = self._rest[:count], self._rest[count:]
        return bytes(data)

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def readline(self) -> bytes:  # only protocol 0 needs lines
        raise pickle.UnpicklingError("it does not use pickle protocol 5")


class _Unpickler(pickle.Unpickler):
    """An unpickler that does not change classes of `__main__` that this process already has.

    cloudpickle finds such a class, but then sets its methods and attributes again: a class that
    counts its instances, or that a notebook cell has patched, would be reset.
    """

    def __init__(self, file: _Reader, *, buffers: list[memoryview]) -> None:
        super().__init__(file, buffers=buffers)
        self._known: set[type] = set()
        self._place: str | None = None

    @property
    def place(self) -> str | None:
        """Name of the class or function that the pickle named last, with its module."""
        return self._place

    def find_class(self, module: str, name: str) -> Any:
        self._place = f"{module}.{name}"
        target = super().find_class(module, name)
        if target in (internals._make_skeleton_class, internals._make_skeleton_enum):
            return partial(self._make_class, target)
        return self._set_class_state if target is internals._class_setstate else target

    def _make_class(self, make: Callable[..., type], *arguments: Any) -> type:
        before = set(internals._DYNAMIC_CLASS_TRACKER_BY_ID.values())
        cls = make(*arguments)
        if cls in before:
            self._known.add(cls)
        return cls

    def _set_class_state(self, cls: type, state: Any) -> Any:
        return cls if cls in self._known else internals._class_setstate(cls, state)
