"""Numbers byte by byte: the first bytes of all, then the second ones, and so on.

Bytes at the same place of a number are alike, such as the upper ones of small numbers, so that
zstd makes more of them, and sooner. HDF5 calls this its shuffle filter (H5Pset_shuffle).
"""

from __future__ import annotations

from flowyml_aws.artifacts.content import Buffer

__all__ = ["shuffled", "unshuffle"]


def shuffled(data: Buffer, item_bytes: int) -> memoryview:
    """The bytes of some numbers in the other order; those behind the last whole one stay.

    Args:
        data: Of any size.
        item_bytes: Bytes of a number.
    """
    import numpy

    source = numpy.frombuffer(data, numpy.uint8)
    target = numpy.empty_like(source)
    count = len(source) // item_bytes
    items = source[: count * item_bytes].reshape(count, item_bytes)
    for place in range(item_bytes):
        target[place * count : (place + 1) * count] = items[:, place]
    target[count * item_bytes :] = source[count * item_bytes :]
    return memoryview(target)


def unshuffle(data: Buffer, item_bytes: int, into: memoryview) -> None:
    """Fill memory with what `shuffled` had got.

    Args:
        data: What it returned.
        item_bytes: Bytes of a number.
        into: As many bytes as the data has.
    """
    import numpy

    source = numpy.frombuffer(data, numpy.uint8)
    target = numpy.frombuffer(into, numpy.uint8)
    count = len(source) // item_bytes
    items = target[: count * item_bytes].reshape(count, item_bytes)
    for place in range(item_bytes):
        items[:, place] = source[place * count : (place + 1) * count]
    target[count * item_bytes :] = source[count * item_bytes :]
