"""Ranges of the bytes of Arrow arrays that some of their rows need."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pyarrow

__all__ = ["fill_rows"]

_VIEW_BYTES = 16
_INLINE_BYTES = 12  # longest string inside its view (Arrow Columnar Format, "Variable-size view")


def fill_rows(
    array: pyarrow.Array, start: int, count: int, fill: Callable[[int, int], None]
) -> None:
    """Fill the memory of some rows of an array, whose bytes are not read yet.

    Args:
        array: Array of a record batch, with an offset of 0.
        start: Number of the first row.
        count: Number of rows.
        fill: Reads the bytes of a range into the memory of the array, given its address and size.
    """
    import pyarrow

    kind, types = array.type, pyarrow.types
    if types.is_dictionary(kind):
        kind = kind.index_type  # the dictionary itself is in another message
    buffers = array.buffers()

    def fill_items(buffer: pyarrow.Buffer | None, first: int, number: int, bits: int) -> None:
        if buffer is not None:
            low, high = first * bits // 8, -(-(first + number) * bits // 8)
            fill(buffer.address + low, high - low)

    if not count or types.is_null(kind):
        return
    if types.is_string(kind) or types.is_binary(kind):
        item: Literal["i", "q", "view"] = "i"
    elif types.is_large_string(kind) or types.is_large_binary(kind):
        item = "q"
    elif types.is_string_view(kind) or types.is_binary_view(kind):
        item = "view"
    elif (bits := _bit_width(kind)) is not None:
        fill_items(buffers[0], start, count, 1)
        fill_items(buffers[1], start, count, bits)
        return
    else:  # nested
        for buffer in buffers:
            fill_items(buffer, 0, 0 if buffer is None else buffer.size, 8)
        return
    fill_items(buffers[0], start, count, 1)
    if item == "view":
        fill_items(buffers[1], start, count, 8 * _VIEW_BYTES)
        _fill_viewed(array, start, count, fill)
    else:
        size = 4 if item == "i" else 8
        fill_items(buffers[1], start, count + 1, 8 * size)
        offsets = memoryview(buffers[1]).cast("B")[: (start + count + 1) * size].cast(item)
        low, high = offsets[start], offsets[start + count]
        if not 0 <= low <= high <= (0 if buffers[2] is None else buffers[2].size):
            raise ValueError(f"a string of bytes {low} to {high} is outside of its buffer")
        fill_items(buffers[2], low, high - low, 8)


def _fill_viewed(
    array: pyarrow.Array, start: int, count: int, fill: Callable[[int, int], None]
) -> None:
    """Fill the strings of views: in each buffer, those from the first to the last one."""
    _, views, *buffers = array.buffers()
    try:
        import numpy
    except ImportError:
        for buffer in buffers:
            fill(buffer.address, buffer.size)
        return
    words = numpy.frombuffer(views, numpy.int32).reshape(-1, 4)[start : start + count]
    is_valid = array.slice(start, count).is_valid().to_numpy(zero_copy_only=False)
    sizes, _, numbers, offsets = words[is_valid & (words[:, 0] > _INLINE_BYTES)].T
    for number in numpy.unique(numbers).tolist():
        is_here = numbers == number
        low = int(offsets[is_here].min())
        high = int((offsets[is_here].astype(numpy.int64) + sizes[is_here]).max())
        if not 0 <= number < len(buffers) or low < 0 or high > buffers[number].size:
            raise ValueError(f"a string of bytes {low} to {high} is outside of its buffer")
        fill(buffers[number].address + low, high - low)


def _bit_width(kind: Any) -> int | None:
    """Return the size of an item in bits; None for items without a fixed size, and nested ones."""
    import pyarrow

    if pyarrow.types.is_nested(kind):
        return None
    try:
        return int(kind.bit_width)
    except ValueError:
        return None
