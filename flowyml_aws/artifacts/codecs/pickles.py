"""The codec for every other value: pickle protocol 5 with the large buffers beside it.

Format, integers little-endian: u64 length of the pickle, u64 number of buffers, u64 size of each
buffer; the pickle; then each buffer at the next multiple of 64 bytes from the start.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections import ChainMap
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

import cloudpickle
from cloudpickle import cloudpickle as internals

from flowyml_aws.artifacts.codecs.tensors import storage_reducers
from flowyml_aws.artifacts.content import Buffer, Content

__all__ = ["PickleCodec"]

_HEAD = struct.Struct("<QQ")
_ALIGNMENT = 64
# A smaller buffer is copied into the pickle: a view of it would keep all of the loaded memory.
_MIN_BUFFER_BYTES = 4096


class PickleCodec:
    """Anything picklable, classes and functions of `__main__` included (cloudpickle)."""

    name = "pickle"
    version = 1

    @property
    def trusts(self) -> str:
        """Pickle is a small program."""
        return "reading a pickle runs whatever code it names"

    def accepts(self, value: Any) -> bool:
        """Everything: what cannot be pickled shows only when it is tried."""
        return True

    def encode(self, value: Any) -> Content:
        """The pickle, and views of the value's own buffers."""
        return Content(*self.pieces(value))

    def pieces(self, value: Any) -> list[Buffer]:
        """The same, each by itself."""
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
        """The value, its large buffers in the loaded memory itself."""
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
            raise ValueError(f"its parts have {end} bytes together, the object has {len(data)}")
        return _Unpickler(_Reader(stream), buffers=buffers).load()


class _Chunks:
    """What a pickler writes: it hands over large `bytes` as they are, so nothing is copied."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []

    def write(self, chunk: bytes) -> int:
        self.chunks.append(chunk)
        return len(chunk)


def _refuse_open_file(file: io.TextIOWrapper) -> NoReturn:
    raise TypeError(f"cannot pickle the open file {getattr(file, 'name', '')!r}")


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # it ships no types
    def __init__(self, *arguments: Any, **options: Any) -> None:
        # cloudpickle would turn an open text file into a StringIO of its content.
        reducers = {io.TextIOWrapper: _refuse_open_file, **storage_reducers()}
        self.dispatch_table = ChainMap(reducers, cloudpickle.Pickler.dispatch_table)
        super().__init__(*arguments, **options)  # which reads the table


class _Reader:
    """A view as the file that an unpickler reads, so that nothing is copied beforehand."""

    def __init__(self, data: memoryview) -> None:
        self._rest = data

    def read(self, count: int) -> bytes:
        taken, self._rest = self._rest[:count], self._rest[count:]
        return bytes(taken)

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def readline(self) -> bytes:  # of protocol 0 only, which no pickle here has
        raise pickle.UnpicklingError("it is not of protocol 5")


class _Unpickler(pickle.Unpickler):
    """Leaves the classes of `__main__` that this process has already as they are.

    cloudpickle finds such a class again, but then sets its methods and attributes anew: a class
    that counts its instances, or that a notebook cell has patched, would be put back.
    """

    def __init__(self, file: _Reader, *, buffers: list[memoryview]) -> None:
        super().__init__(file, buffers=buffers)
        self._known: set[type] = set()

    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name)
        if found in (internals._make_skeleton_class, internals._make_skeleton_enum):
            return partial(self._make_class, found)
        return self._set_class_state if found is internals._class_setstate else found

    def _make_class(self, make: Callable[..., type], *arguments: Any) -> type:
        before = set(internals._DYNAMIC_CLASS_TRACKER_BY_ID.values())
        made = make(*arguments)
        if made in before:
            self._known.add(made)
        return made

    def _set_class_state(self, made: type, state: Any) -> Any:
        return made if made in self._known else internals._class_setstate(made, state)
