"""Stored arrays, of which rows are read by range."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any

from flowyml_aws.artifacts.codecs.arrays import MAX_HEADER, read_header
from flowyml_aws.artifacts.lazy.pieces import unsupported
from flowyml_aws.artifacts.verified_bytes import VerifiedBytes

if TYPE_CHECKING:
    import numpy

__all__ = ["StoredArray"]

_ALL = slice(None)


class StoredArray:
    """Rows of an array in `.npy` format: the items along its first axis.

    Args:
        data: Bytes of the array.
    """

    def __init__(self, data: VerifiedBytes) -> None:
        self._data = data

    def length(self) -> int:
        """Return the number of rows."""
        _, _, shape, _ = self._layout
        if not shape:
            raise unsupported("array without dimensions", "rows")
        return shape[0]

    def get(self, key: Any) -> Any:
        """Return the rows of a slice, one row, or the rows of a list of numbers or a mask.

        A tuple selects rows by its first item, and items of them by the others.
        """
        first, others = (key[0], key[1:]) if isinstance(key, tuple) and key else (key, ())
        rows, own = self._selected(first, bool(others))
        index = (own, *others)
        return rows if index == (_ALL,) else rows[index]

    def columns(self, labels: Sequence[Any]) -> Any:
        """Raise the error."""
        raise unsupported("array", "columns")

    def fact(self, name: str) -> Any:
        """Return the shape or the data type."""
        _, dtype, shape, _ = self._layout
        facts = {"shape": shape, "dtype": dtype}
        if name not in facts:
            raise unsupported("array", name)
        return facts[name]

    def _selected(self, key: Any, has_others: bool) -> tuple[numpy.ndarray[Any, Any], Any]:
        """Return the rows that a key needs, and the key of the result in them."""
        import numpy

        length = self.length()
        if isinstance(key, slice):
            rows = range(*key.indices(length))
            if not rows:
                return self._rows(0, 0), _ALL
            found = self._rows(min(rows), max(rows) + 1)
            return (found if rows.step == 1 else found[:: rows.step].copy()), _ALL
        if key is Ellipsis or key is None:
            return self._rows(0, length), key
        wanted = numpy.asarray(key)
        if wanted.dtype == bool and wanted.shape == (length,):
            wanted = wanted.nonzero()[0]
        if (wanted.dtype.kind not in "iu" and wanted.size) or (wanted.ndim and has_others):
            raise unsupported("array", f"rows {key!r}, only a slice, numbers, or a mask of rows")
        wanted = wanted.astype(numpy.int64)
        outside = wanted[(wanted < -length) | (wanted >= length)]
        if outside.size:
            raise IndexError(f"row {outside[0]} of an array with {length} rows")
        wanted = wanted % max(length, 1)
        if not wanted.ndim:
            return self._rows(int(wanted), int(wanted) + 1), 0
        numbers, places = numpy.unique(wanted, return_inverse=True)
        _, dtype, shape, _ = self._layout
        found = numpy.empty((len(numbers), *shape[1:]), dtype)
        filled = 0
        for start, stop in _runs(numbers.tolist()):
            found[filled : filled + stop - start] = self._rows(start, stop)
            filled += stop - start
        return found[places.reshape(wanted.shape)], _ALL

    def _rows(self, start: int, stop: int) -> numpy.ndarray[Any, Any]:
        import numpy

        header, dtype, shape, is_fortran = self._layout
        count, shape = stop - start, (stop - start, *shape[1:])
        if not is_fortran:
            size = math.prod(shape[1:]) * dtype.itemsize
            memory = self._data.read(header + start * size, header + stop * size)
            return numpy.ndarray(shape, dtype, buffer=memory)
        # The rows of each column are next to each other.
        memory = memoryview(bytearray(math.prod(shape) * dtype.itemsize))
        size, step = count * dtype.itemsize, self.length() * dtype.itemsize
        for number in range(math.prod(shape[1:]) if count else 0):
            offset = header + number * step + start * dtype.itemsize
            self._data.read_into(offset, memory[number * size : (number + 1) * size])
        return numpy.ndarray(shape, dtype, buffer=memory, order="F")

    @cached_property
    def _layout(self) -> tuple[int, numpy.dtype[Any], tuple[int, ...], bool]:
        head = self._data.read(0, min(MAX_HEADER, self._data.size_bytes))
        size, dtype, shape, is_fortran = read_header(head.tobytes())
        if dtype.hasobject or self._data.size_bytes - size != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"an array of shape {shape} and data type {dtype} has another size")
        return size, dtype, shape, is_fortran and len(shape) > 1


def _runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """Yield the start and the end of each run of consecutive numbers, which are sorted."""
    for _, run in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        members = [number for _, number in run]
        yield members[0], members[-1] + 1
