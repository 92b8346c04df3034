"""Conversion of numeric columns between numpy and Arrow without copies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy
    import pyarrow

__all__ = ["arrow_to_numpy", "numpy_to_arrow"]


def numpy_to_arrow(array: numpy.ndarray[Any, Any], zone: str | None) -> pyarrow.Array:
    """Return an Arrow array of the same numbers, dates or times, in the same memory if possible.

    Args:
        array: Array with one dimension.
        zone: Name of the time zone, for dates in UTC that have one.
    """
    import numpy
    import pyarrow

    if array.dtype.kind == "b":
        return pyarrow.array(array)  # Arrow stores booleans as bits
    kind = pyarrow.from_numpy_dtype(array.dtype)
    present = None
    if array.dtype.kind in "mM":
        if zone is not None:
            kind = pyarrow.timestamp(kind.unit, zone)
        missing = numpy.isnat(array)
        if missing.any():
            present = pyarrow.array(~missing).buffers()[1]
    values = pyarrow.py_buffer(numpy.ascontiguousarray(array).view(numpy.uint8))
    return pyarrow.Array.from_buffers(kind, len(array), [present, values])


def arrow_to_numpy(
    column: pyarrow.ChunkedArray, dtype: numpy.dtype[Any], data: memoryview
) -> numpy.ndarray[Any, Any]:
    """Return the writable array of an Arrow column. A single chunk is not copied.

    Args:
        column: Column that was read from `data`.
        dtype: Data type of the original array.
        data: Loaded memory.
    """
    import numpy
    import pyarrow

    if dtype.kind == "b":
        return numpy.array(column.to_numpy(), dtype)
    start = pyarrow.py_buffer(data).address
    arrays = []
    for chunk in column.chunks:
        values = chunk.buffers()[1]
        if len(chunk) == 0 or values is None:
            continue
        # Arrow's own view of the values would be read-only.
        at = values.address - start + chunk.offset * dtype.itemsize
        array: numpy.ndarray[Any, Any] = numpy.ndarray(len(chunk), dtype, data, at)
        if dtype.kind in "mM" and chunk.null_count:
            array[chunk.is_null().to_numpy(zero_copy_only=False)] = "NaT"
        arrays.append(array)
    if len(arrays) == 1:
        return arrays[0]
    return numpy.concatenate(arrays) if arrays else numpy.empty(0, dtype)
