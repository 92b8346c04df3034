"""Codecs for numpy arrays and scalars, in `.npy` format and without copies of the array."""

from __future__ import annotations

import io
import math
import sys
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from flowyml_aws.artifacts.content import Content
from flowyml_aws.artifacts.refs import ItemBytes

if TYPE_CHECKING:
    import numpy

__all__ = ["MAX_HEADER", "NumpyCodec", "NumpyScalarCodec", "read_header"]

_Order: TypeAlias = Literal["C", "F"]
_MAGIC = b"\x93NUMPY\x01\x00"
_NUMBERS = "biufcmM"
_KINDS = _NUMBERS + "SUV"

MAX_HEADER = 1 << 16
"""Maximum size of a header in bytes."""


class NumpyCodec:
    """Codec for `numpy.ndarray` of any data type without Python objects.

    C or Fortran order is kept; other arrays are stored in C order. Memory-mapped arrays are
    loaded into memory.
    """

    name = "numpy"
    version = 1

    def accepts(self, value: Any) -> bool:
        """Return whether the value is an array whose data type the format describes exactly."""
        # Without an imported numpy the value is not an array, so don't import it to check.
        numpy = sys.modules.get("numpy")
        if numpy is None or type(value) not in (numpy.ndarray, numpy.memmap):
            return False
        dtype = value.dtype
        if dtype.hasobject or dtype.itemsize == 0 or not _is_described(dtype):
            return False
        try:
            return bool(read_header(_header(value))[1] == dtype)
        except ValueError:  # overlapping fields, or names that the header does not support
            return False

    def encode(self, value: Any) -> Content:
        """Return the header and the buffer. A contiguous array is not copied."""
        import numpy

        array = numpy.asarray(value)
        if not (array.flags.c_contiguous or array.flags.f_contiguous):
            array = numpy.array(array, order="C", copy=True)
        order: _Order = "C" if array.flags.c_contiguous else "F"
        # As bytes, because some data types, such as dates, do not export a buffer.
        flat = array.reshape(-1, order=order).view(numpy.uint8)
        return Content(_header(array), flat.data, item_bytes=_item_bytes(array.dtype))

    def decode(self, data: memoryview) -> numpy.ndarray[Any, Any]:
        """Return a writable array in the loaded memory."""
        import numpy

        size, dtype, shape, fortran = read_header(data[:MAX_HEADER].tobytes())
        if dtype.hasobject or len(data) - size != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"an array of shape {shape} and data type {dtype} has another size")
        order: _Order = "F" if fortran else "C"
        array: numpy.ndarray[Any, Any] = numpy.ndarray(
            shape, dtype, buffer=data[size:], order=order
        )
        return array


class NumpyScalarCodec:
    """Codec for a numpy number or date, such as the result of `mean`."""

    name = "numpy-scalar"
    version = 1

    def accepts(self, value: Any) -> bool:
        """Return whether the value's data type is decoded to exactly its type."""
        numpy = sys.modules.get("numpy")
        if numpy is None or not isinstance(value, numpy.generic):
            return False
        dtype = value.dtype
        # An array would remove trailing zeros from strings.
        if dtype.type is not type(value) or dtype.kind not in _NUMBERS or not _is_described(dtype):
            return False
        return bool(read_header(_header(numpy.asarray(value)))[1].type is type(value))

    def encode(self, value: Any) -> Content:
        """Return the bytes of an array without dimensions."""
        import numpy

        return NumpyCodec().encode(numpy.asarray(value))

    def decode(self, data: memoryview) -> numpy.generic:
        """Return the only element of the array."""
        array = NumpyCodec().decode(data)
        if array.ndim:
            raise ValueError(f"it has {array.ndim} dimensions")
        value: numpy.generic = array[()]
        return value


def _is_described(dtype: numpy.dtype[Any]) -> bool:
    if dtype.kind not in _KINDS or dtype.metadata is not None or dtype.isalignedstruct:
        return False
    if dtype.subdtype is not None:
        return _is_described(dtype.subdtype[0])
    return all(_is_described(field[0]) for field in (dtype.fields or {}).values())


def _item_bytes(dtype: numpy.dtype[Any]) -> ItemBytes:
    if dtype.kind == "U":
        return 4
    sizes: dict[int, ItemBytes] = {2: 2, 4: 4, 8: 8, 16: 16}
    return sizes.get(dtype.itemsize, 1) if dtype.kind in _NUMBERS else 1


def _header(array: numpy.ndarray[Any, Any]) -> bytes:
    from numpy.lib import format as npy

    stream = io.BytesIO()
    npy.write_array_header_1_0(stream, npy.header_data_from_array_1_0(array))
    return stream.getvalue()


def read_header(data: bytes) -> tuple[int, numpy.dtype[Any], tuple[int, ...], bool]:
    """Return the size of a header, the data type, the shape, and whether the order is Fortran's.

    Args:
        data: Bytes that begin with the header.

    Raises:
        ValueError: They do not.
    """
    from numpy.lib import format as npy

    if data[: len(_MAGIC)] != _MAGIC:
        raise ValueError("it is not an .npy file of version 1.0")
    stream = io.BytesIO(data)
    stream.seek(len(_MAGIC))
    shape, fortran, dtype = npy.read_array_header_1_0(stream, max_header_size=MAX_HEADER)
    return stream.tell(), dtype, shape, fortran
