"""Byte shuffling: the first bytes of all numbers, then their second bytes, and so on.

Bytes at the same position of a number are similar, for example the high bytes of small numbers,
so zstd compresses them better and faster. HDF5 calls this the shuffle filter (H5Pset_shuffle).
"""

from __future__ import annotations

from flowyml_aws.artifacts.content import Buffer

__all__ = ["shuffle", "unshuffle"]


def shuffle(data: Buffer, item_bytes: int) -> memoryview:
    """Return the bytes of numbers in shuffled order. Bytes after the last whole number stay.

    Args:
        data: Bytes of the numbers, of any length.
        item_bytes: Size of a number in bytes.
    """
    import numpy

    source = numpy.frombuffer(data, numpy.uint8)
    target = numpy.empty_like(source)
    count = len(source) // item_bytes
    items = source[: count * item_bytes].reshape(count, item_bytes)
    for position in range(item_bytes):
        target[position * count : (position + 1) * count] = items[:, position]
    target[count * item_bytes :] = source[count * item_bytes :]
    return memoryview(target)


def unshuffle(data: Buffer, item_bytes: int, into: memoryview) -> None:
    """Write the original bytes back into `into`.

    Args:
        data: Output of `shuffle`.
        item_bytes: Size of a number in bytes.
        into: Buffer of the same size as the data.
    """
    import numpy

    source = numpy.frombuffer(data, numpy.uint8)
    target = numpy.frombuffer(into, numpy.uint8)
    count = len(source) // item_bytes
    items = target[: count * item_bytes].reshape(count, item_bytes)
    for position in range(item_bytes):
        items[:, position] = source[position * count : (position + 1) * count]
    target[count * item_bytes :] = source[count * item_bytes :]
