"""The codecs for numpy's arrays, files in `.npy` format whose buffer is the array's own."""

from __future__ import annotations

import io
import math
import sys
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from flowyml_aws.artifacts.content import Content
from flowyml_aws.artifacts.refs import ItemBytes

if TYPE_CHECKING:
    import numpy

__all__ = ["NumpyCodec", "NumpyScalarCodec"]

_Order: TypeAlias = Literal["C", "F"]
_MAGIC = b"\x93NUMPY\x01\x00"
_NUMBERS = "biufcmM"
_KINDS = _NUMBERS + "SUV"
_MAX_HEADER = 1 << 16


class NumpyCodec:
    """`numpy.ndarray` of any data type without Python objects; order C or Fortran is kept.

    Arrays in neither order are stored in order C; memory-mapped arrays come back in memory.
    """

    name = "numpy"
    version = 1

    def accepts(self, value: Any) -> bool:
        """Whether it is an array whose data type the format describes exactly."""
        # Where numpy was never imported there is no array: never import it to find out.
        numpy = sys.modules.get("numpy")
        if numpy is None or type(value) not in (numpy.ndarray, numpy.memmap):
            return False
        dtype = value.dtype
        if dtype.hasobject or dtype.itemsize == 0 or not _is_described(dtype):
            return False
        try:
            return bool(_read_header(_header(value))[1] == dtype)
        except ValueError:  # fields that overlap, or names that the header cannot hold
            return False

    def encode(self, value: Any) -> Content:
        """Header and buffer; an array in one piece is not copied."""
        import numpy

        array = numpy.asarray(value)
        if not (array.flags.c_contiguous or array.flags.f_contiguous):
            array = numpy.array(array, order="C", copy=True)
        order: _Order = "C" if array.flags.c_contiguous else "F"
        # Bytes, because some data types such as dates refuse to give out their buffer.
        flat = array.reshape(-1, order=order).view(numpy.uint8)
        return Content(_header(array), flat.data, item_bytes=_item_bytes(array.dtype))

    def decode(self, data: memoryview) -> numpy.ndarray[Any, Any]:
        """A writable array in the loaded memory itself."""
        import numpy

        size, dtype, shape, fortran = _read_header(data[:_MAX_HEADER].tobytes())
        if dtype.hasobject or len(data) - size != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"no array of shape {shape} and data type {dtype} has this size")
        order: _Order = "F" if fortran else "C"
        array: numpy.ndarray[Any, Any] = numpy.ndarray(
            shape, dtype, buffer=data[size:], order=order
        )
        return array


class NumpyScalarCodec:
    """One number or date of numpy's, such as the result of a `mean`."""

    name = "numpy-scalar"
    version = 1

    def accepts(self, value: Any) -> bool:
        """Whether its type is one that a data type brings back."""
        numpy = sys.modules.get("numpy")
        if numpy is None or not isinstance(value, numpy.generic):
            return False
        dtype = value.dtype
        # An array would cut zeros off the end of texts.
        if dtype.type is not type(value) or dtype.kind not in _NUMBERS or not _is_described(dtype):
            return False
        return bool(_read_header(_header(numpy.asarray(value)))[1].type is type(value))

    def encode(self, value: Any) -> Content:
        """An array without dimensions."""
        import numpy

        return NumpyCodec().encode(numpy.asarray(value))

    def decode(self, data: memoryview) -> numpy.generic:
        """Its only element."""
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


def _read_header(data: bytes) -> tuple[int, numpy.dtype[Any], tuple[int, ...], bool]:
    from numpy.lib import format as npy

    if data[: len(_MAGIC)] != _MAGIC:
        raise ValueError("this is no .npy file of version 1.0")
    stream = io.BytesIO(data)
    stream.seek(len(_MAGIC))
    shape, fortran, dtype = npy.read_array_header_1_0(stream, max_header_size=_MAX_HEADER)
    return stream.tell(), dtype, shape, fortran
