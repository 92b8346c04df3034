"""Codec for all other values: pickle protocol 5 with large buffers out of band.

Format, integers little-endian: u64 length of the pickle, u64 number of buffers, u64 size of each
buffer; the pickle; then each buffer at the next multiple of 64 bytes from the start.

A value with paths to files is a tar of that (`value`), the names of the paths in the order of their
numbers (`paths.json`), and the files (`files/…`).
"""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import struct
import tarfile
from collections import ChainMap
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from types import FunctionType
from typing import Any, NoReturn

import cloudpickle
from cloudpickle import cloudpickle as internals

from flowyml_aws.artifacts.codecs.archive import Unpacking, end_of_tar, pack, pack_bytes
from flowyml_aws.artifacts.codecs.nested_paths import NestedPaths, restored_paths, stored_path
from flowyml_aws.artifacts.codecs.reducers import reduce_parametrized_model, reducer_of
from flowyml_aws.artifacts.codecs.tensors import storage_reducers
from flowyml_aws.artifacts.content import Buffer, Content
from flowyml_aws.artifacts.errors import UnpicklingFailedError
from flowyml_aws.code.bindings import binding_of, raw_value
from flowyml_aws.core.errors import FlowymlError
from flowyml_aws.scripts import resolve, stable_name

__all__ = ["PickleCodec", "PickleWithFilesCodec", "content_with_files", "pickle_value"]

_HEAD = struct.Struct("<QQ")
_ALIGNMENT = 64
# Smaller buffers are copied into the pickle: a view would keep all of the loaded memory alive.
_MIN_BUFFER_BYTES = 4096
# Members of the tar of a value with files.
_VALUE, _NAMES, _FILES = "value", "paths.json", "files"


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
        """Return the pickle, views of the value's own buffers, and the files of its paths."""
        pickled = pickle_value(value)
        return content_with_files(pickled) if pickled.paths else Content(*pickled.pieces)

    def decode(self, data: memoryview) -> Any:
        """Return the value, with its large buffers in the loaded memory."""
        return unpickle_value(data, stored_path)


class PickleWithFilesCodec:
    """Codec for a pickled value with paths to files: a tar of the pickle and the files.

    `PickleCodec` encodes such values, because only pickling shows whether a value has paths.
    """

    name = "pickle-with-files"
    version = 1
    trusts = PickleCodec.trusts

    def accepts(self, value: Any) -> bool:
        """Return False. `PickleCodec` accepts all values, and selects this codec to decode them."""
        return False

    def encode(self, value: Any) -> Content:
        """Return the tar."""
        return content_with_files(pickle_value(value))

    def decode_file(self, source: Path, target: Path) -> Any:
        """Return the value, with its files in a new folder."""
        unpacking, parts = Unpacking(target), {}
        with tarfile.open(source, "r:") as tar:
            for member in tar:
                name = PurePosixPath(member.name)
                if name.parts[:1] == (_FILES,):
                    unpacking.add(tar, member, name.relative_to(_FILES))
                else:
                    parts[member.name] = _member_bytes(tar, member)
        unpacking.finish()
        names = json.loads(bytes(parts[_NAMES]))
        return unpickle_value(parts[_VALUE], restored_paths(target, names))


@dataclass(frozen=True, slots=True)
class Pickled:
    """A pickled value.

    Attributes:
        pieces: The encoded value, with views of the value's own buffers.
        paths: Paths in the value that name files or folders.
    """

    pieces: list[Buffer]
    paths: NestedPaths


def pickle_value(value: Any) -> Pickled:
    """Pickle a value. Files are not read yet."""
    stream, paths = _Chunks(), NestedPaths()
    buffers: list[memoryview] = []

    def keep_in_band(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < _MIN_BUFFER_BYTES:
            return True
        buffers.append(raw)
        return False

    _Pickler(stream, paths, protocol=5, buffer_callback=keep_in_band).dump(value)
    length = sum(map(len, stream.chunks))
    sizes = [buffer.nbytes for buffer in buffers]
    head = _HEAD.pack(length, len(buffers)) + struct.pack(f"<{len(sizes)}Q", *sizes)
    pieces: list[Buffer] = [head, *stream.chunks]
    end = len(head) + length
    for buffer in buffers:
        padding = -end % _ALIGNMENT
        pieces += (bytes(padding), buffer)
        end += padding + buffer.nbytes
    return Pickled(pieces, paths)


def content_with_files(pickled: Pickled) -> Content:
    """Return a tar of a pickled value and the files of its paths."""
    roots, names = pickled.paths.layout()
    return Content(
        *pack_bytes(_VALUE, *pickled.pieces),
        *pack_bytes(_NAMES, json.dumps(names).encode()),
        *pack({PurePosixPath(_FILES, name): path for name, path in roots.items()}),
        end_of_tar(),
        filename=_FILES,
        codec=f"{PickleWithFilesCodec.name}/{PickleWithFilesCodec.version}",
    )


def unpickle_value(data: memoryview, restore_path: Callable[..., Any]) -> Any:
    """Return the value of a pickle.

    Args:
        data: The encoded value. Large buffers stay in this memory.
        restore_path: Replaces `stored_path`.
    """
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
    unpickler = _Unpickler(_Reader(stream), restore_path, buffers=buffers)
    try:
        return unpickler.load()
    except FlowymlError:
        raise
    except Exception as error:  # unpickling runs code of the value's classes
        raise UnpicklingFailedError(unpickler.place, error) from error


def _member_bytes(tar: tarfile.TarFile, member: tarfile.TarInfo) -> memoryview:
    file = tar.extractfile(member)
    if file is None:
        raise ValueError(f"its member {member.name!r} is not a file")
    data = memoryview(bytearray(member.size))
    with file:
        # The type stubs declare IO[bytes], which has no readinto; it is a BufferedReader.
        if file.readinto(data) != len(data):  # type: ignore[attr-defined]
            raise ValueError(f"its member {member.name!r} is incomplete")
    return data


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
        self,
        file: _Chunks,
        paths: NestedPaths | None = None,
        by_value: frozenset[type] = frozenset(),
        **options: Any,
    ) -> None:
        self._paths = paths
        self._by_value = by_value  # classes that a pickle of their own contains
        self._reducers: dict[type, Callable[[Any], Any] | None] = {}
        # cloudpickle would turn an open text file into a StringIO of its content.
        reducers = {io.TextIOWrapper: _refuse_open_file, **storage_reducers()}
        self.dispatch_table = ChainMap(reducers, cloudpickle.Pickler.dispatch_table)
        super().__init__(file, **options)  # reads the dispatch table

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        try:
            reducer = self._reducers[kind]
        except KeyError:
            reducer = self._reducers[kind] = self._reducer_of(kind)
        return NotImplemented if reducer is None else reducer(obj)

    def _reducer_of(self, kind: type) -> Callable[[Any], Any] | None:
        if issubclass(kind, Path):
            return None if self._paths is None else self._paths.reduce
        return self._reduce_code if issubclass(kind, type | FunctionType) else reducer_of(kind)

    def _reduce_code(self, obj: Any) -> Any:
        if (reduced := reduce_parametrized_model(obj)) is not NotImplemented:
            return reduced
        # A script's classes are stored by the script's path: `__main__` is another program later.
        if obj.__module__ == "__main__":
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
    return _Unpickler(_Reader(memoryview(by_value)), stored_path, buffers=[]).load()


def _digest_of(cls: type) -> str:
    # Imported here: few values need it, and it imports the compiler's modules.
    from flowyml_aws.code.states import BindingReader

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

    def __init__(
        self, file: _Reader, restore_path: Callable[..., Any], *, buffers: list[memoryview]
    ) -> None:
        super().__init__(file, buffers=buffers)
        self._restore_path = restore_path
        self._known: set[type] = set()
        self._place: str | None = None

    @property
    def place(self) -> str | None:
        """Name of the class or function that the pickle named last, with its module."""
        return self._place

    def find_class(self, module: str, name: str) -> Any:
        self._place = f"{module}.{name}"
        target = super().find_class(module, name)
        if target is stored_path:
            return self._restore_path
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
