"""One column or index of pandas as Arrow arrays, exactly.

Arrow has one kind of text, of missing value and of index; pandas has many. So each array comes
with a description in JSON, by which it is made again as it was.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

from flowyml_aws.artifacts.codecs.arrow import is_plain_type

if TYPE_CHECKING:
    import pandas
    import pyarrow

__all__ = ["Described", "describe", "describe_axis", "from_arrow", "read_axis", "to_arrow"]

Described: TypeAlias = dict[str, Any]

_NUMBERS = "b1 i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8".split()
_EXTENSIONS = ("BooleanDtype", "Float32Dtype", "Float64Dtype", "PeriodDtype", "IntervalDtype") + tuple(
    f"{sign}Int{bits}Dtype" for sign in ("", "U") for bits in (8, 16, 32, 64)
)
_CHUNK = 1 << 16
_NAMES = (str, int, bool, type(None))


def describe(array: Any) -> Described | None:
    """How to make an array of pandas again from its Arrow arrays; None where that is impossible.

    Args:
        array: The `array` of a series or index.
    """
    import pandas

    dtype = array.dtype
    kind = type(dtype).__name__
    if kind == "CategoricalDtype":
        categories = describe_axis(dtype.categories)
        return categories and {"is": "category", "of": categories, "ordered": dtype.ordered}
    if kind == "DatetimeTZDtype":
        zone = _zone_name(dtype.tz)
        return zone and {"is": "instant", "unit": dtype.unit, "zone": zone}
    if kind == "ArrowDtype":
        return {"is": "arrow"} if is_plain_type(dtype.pyarrow_dtype) else None
    if kind == "StringDtype":
        if dtype.storage == "python" and not _is_text(array):
            return None
        missing = "NA" if dtype.na_value is pandas.NA else "nan"
        return {"is": "text", "storage": dtype.storage, "missing": missing}
    if kind in _EXTENSIONS:
        same = pandas.api.types.pandas_dtype(str(dtype)) == dtype
        return {"is": "extension", "dtype": str(dtype)} if same else None
    if isinstance(dtype, pandas.api.extensions.ExtensionDtype):
        return None
    if dtype.kind in "mM" or dtype.str[1:] in _NUMBERS:
        return {"is": "numpy", "dtype": dtype.str} if dtype.isnative else None
    return _describe_objects(array) if dtype.kind == "O" else None


def to_arrow(array: Any, described: Described) -> pyarrow.Array | pyarrow.ChunkedArray:
    """The Arrow array of what `describe` has described; numbers are not copied."""
    import numpy
    import pyarrow

    if described["is"] == "numpy":
        return _from_numpy(numpy.asarray(array))
    if described["is"] == "instant":
        # As numpy has it: the same instants in UTC, the zone is in the description.
        return _from_numpy(array.view(f"M8[{described['unit']}]"), described["zone"][-1])
    if described["is"] == "category":
        (categories,) = axis_to_arrow(array.categories, described["of"]) or (
            pyarrow.array(range(len(array.categories))),
        )
        codes = numpy.asarray(array.codes)
        missing = codes < 0
        indices = pyarrow.array(codes, mask=missing if missing.any() else None)
        if isinstance(categories, pyarrow.ChunkedArray):
            categories = categories.combine_chunks()
        return pyarrow.DictionaryArray.from_arrays(indices, categories, ordered=bool(array.ordered))
    if described["is"] == "object":
        return _text_of(array)
    return pyarrow.array(array)


def from_arrow(column: pyarrow.ChunkedArray, described: Described, data: memoryview) -> Any:
    """The array of pandas, numbers in the loaded memory itself.

    Args:
        column: As read from the stream.
        described: What `describe` said.
        data: The memory that the column was read from.
    """
    import numpy
    import pandas

    kind = described["is"]
    if kind == "numpy":
        return _to_numpy(column, numpy.dtype(described["dtype"]), data)
    if kind == "instant":
        values = _to_numpy(column, numpy.dtype(f"M8[{described['unit']}]"), data)
        zone = _zone(described["zone"])
        return pandas.DatetimeIndex(values).tz_localize("UTC").tz_convert(zone).array
    if kind == "category":
        return _to_categorical(column, described, data)
    if kind == "object":
        values = column.to_numpy(zero_copy_only=False).astype(object, copy=False)
        if described["missing"] == "nan":
            values[[value is None for value in values]] = numpy.nan
        return values
    if kind == "arrow":
        return pandas.ArrowDtype(column.type).__from_arrow__(column)
    if kind == "text":
        dtype = pandas.StringDtype(described["storage"], **_missing(described["missing"]))
        return dtype.__from_arrow__(column)
    dtype = pandas.api.types.pandas_dtype(described["dtype"])
    if type(dtype).__name__ not in _EXTENSIONS:
        raise ValueError(f"there is no column of type {dtype}")
    return dtype.__from_arrow__(column)


def describe_axis(index: Any) -> Described | None:
    """How to make an index again, its Arrow arrays apart; None where that is impossible."""
    import pandas

    if not all(type(name) in _NAMES for name in index.names):
        return None
    names: Described = {"names": list(index.names)}
    if type(index) is pandas.RangeIndex:
        return {"is": "range", "range": [index.start, index.stop, index.step], **names}
    if type(index) is pandas.MultiIndex:
        levels = [describe_axis(level) for level in index.levels]
        return {"is": "levels", "levels": levels, **names} if all(levels) else None
    described = describe(index.array)
    if described is None or not type(index).__module__.startswith("pandas."):
        return None
    frequency = getattr(index, "freq", None)
    if frequency is None or described["is"] == "extension":
        return {"is": "flat", "array": described, **names}
    code = frequency.freqstr
    try:
        same = pandas.tseries.frequencies.to_offset(code) == frequency
    except ValueError:
        same = False
    return {"is": "flat", "array": described, "frequency": code, **names} if same else None
