"""Exact conversion of a pandas column or index to Arrow arrays and back.

Arrow has one kind of string, missing value and index; pandas has several. So each array has a
description in JSON, from which it is restored exactly.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

from flowyml_aws.artifacts.codecs.arrow import (
    Description,
    is_plain_type,
    read_stream,
    write_stream,
)
from flowyml_aws.artifacts.codecs.arrow_numbers import arrow_to_numpy, numpy_to_arrow
from flowyml_aws.artifacts.codecs.zones import zone_in_arrow, zone_name, zone_named

if TYPE_CHECKING:
    import pandas
    import pyarrow

__all__ = [
    "axis_from_arrow",
    "axis_from_json",
    "axis_to_arrow",
    "axis_to_json",
    "describe",
    "describe_axis",
    "describe_rows",
    "from_arrow",
    "to_arrow",
]

_NUMBERS = ["b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]
_EXTENSIONS = re.compile("U?Int(8|16|32|64)Dtype|(Boolean|Float32|Float64|Period|Interval)Dtype")
_CHUNK = 1 << 16
_NAMES = (str, int, bool, type(None))


def describe(array: Any) -> Description | None:
    """Return the description that restores a pandas array, or None if it can't be restored.

    Args:
        array: The `array` of a series or index.
    """
    import pandas

    dtype = array.dtype
    kind = type(dtype).__name__
    if kind == "CategoricalDtype":
        categories = describe_axis(dtype.categories)
        if categories is None or _is_categorical(categories):
            return None
        return {"is": "category", "of": categories, "ordered": dtype.ordered}
    if kind == "DatetimeTZDtype":
        zone = zone_name(dtype.tz)
        return {"is": "instant", "unit": dtype.unit, "zone": zone} if zone else None
    if kind == "ArrowDtype":
        return {"is": "arrow"} if is_plain_type(dtype.pyarrow_dtype) else None
    if kind == "StringDtype":
        missing = "NA" if dtype.na_value is pandas.NA else "nan"
        description = {"is": "text", "storage": dtype.storage, "missing": missing}
        same = _string_dtype(description) == dtype
        return description if same and (dtype.storage != "python" or _are_strings(array)) else None
    if kind in ("Float32Dtype", "Float64Dtype") and _has_nan(array):
        return None  # Arrow would restore NaN as NA
    if _EXTENSIONS.fullmatch(kind):
        numpy_like = kind != "IntervalDtype" or hasattr(dtype.subtype, "isnative")
        same = numpy_like and pandas.api.types.pandas_dtype(str(dtype)) == dtype
        return {"is": "extension", "dtype": str(dtype)} if same else None
    if kind == "NumpyEADtype":
        dtype = dtype.numpy_dtype
    elif isinstance(dtype, pandas.api.extensions.ExtensionDtype):
        return None
    if dtype.kind in "mM" or dtype.str[1:] in _NUMBERS:
        return {"is": "numpy", "dtype": dtype.str} if dtype.isnative else None
    return _describe_objects(array) if dtype.kind == "O" else None


def to_arrow(array: Any, description: Description) -> pyarrow.Array:
    """Return the Arrow array of a pandas array with its description. Numbers are not copied."""
    import numpy
    import pyarrow

    kind = description["is"]
    if kind == "numpy":
        return numpy_to_arrow(numpy.asarray(array), None)
    if kind == "instant":
        instants = array.tz_convert("UTC").tz_localize(None)
        return numpy_to_arrow(numpy.asarray(instants), zone_in_arrow(description["zone"]))
    if kind == "category":
        return _to_dictionary_array(
            array.codes, array.categories, description["of"], bool(array.ordered)
        )
    if kind == "object":
        return pyarrow.array(numpy.asarray(array), pyarrow.large_string(), from_pandas=True)
    result = pyarrow.array(array)
    if isinstance(result, pyarrow.ChunkedArray):
        result = result.combine_chunks()  # otherwise all columns would be split into its chunks
    return result.storage if isinstance(result, pyarrow.ExtensionArray) else result


def from_arrow(column: pyarrow.ChunkedArray, description: Description, data: memoryview) -> Any:
    """Return the pandas array of an Arrow column, with numbers in the loaded memory.

    Args:
        column: Column that was read from `data`.
        description: Description from `describe`.
        data: Loaded memory.
    """
    import numpy
    import pandas

    kind = description["is"]
    if kind == "numpy":
        return arrow_to_numpy(column, numpy.dtype(description["dtype"]), data)
    if kind == "instant":
        instants = arrow_to_numpy(column, numpy.dtype(f"M8[{description['unit']}]"), data)
        zone = zone_named(description["zone"])
        return pandas.DatetimeIndex(instants).tz_localize("UTC").tz_convert(zone).array
    if kind == "category":
        codes, categories = _from_dictionary_array(column, description["of"], data)
        return pandas.Categorical.from_codes(codes, categories, ordered=description["ordered"])
    if kind == "object":
        strings = column.to_numpy(zero_copy_only=False).astype(object)
        if description["missing"] == "nan" and column.null_count:
            strings[column.is_null().to_numpy()] = numpy.nan
        return strings
    if kind == "arrow":
        return pandas.ArrowDtype(column.type).__from_arrow__(column)
    if kind == "text":
        return _string_dtype(description).__from_arrow__(column)
    dtype = pandas.api.types.pandas_dtype(description["dtype"])
    if kind != "extension" or not _EXTENSIONS.fullmatch(type(dtype).__name__):
        raise ValueError(f"unknown kind of column {kind} with type {dtype}")
    return dtype.__from_arrow__(column)


def describe_axis(index: Any) -> Description | None:
    """Return the description that restores an index, or None if it can't be restored."""
    import pandas

    if not all(type(name) in _NAMES for name in index.names):
        return None
    names: Description = {"names": list(index.names)}
    if type(index) is pandas.RangeIndex:
        return {"is": "range", "range": [index.start, index.stop, index.step], **names}
    if type(index) is pandas.MultiIndex:
        levels = [_describe_level(level) for level in index.levels]
        return {"is": "levels", "levels": levels, **names} if all(levels) else None
    description = describe(index.array)
    if description is None or type(index).__module__.partition(".")[0] != "pandas":
        return None
    frequency = getattr(index, "freq", None)
    if frequency is None or description["is"] == "extension":
        return {"is": "flat", "array": description, **names}
    code = frequency.freqstr
    try:
        same = pandas.tseries.frequencies.to_offset(code) == frequency
    except ValueError:
        same = False
    return {"is": "flat", "array": description, "frequency": code, **names} if same else None


def describe_rows(description: Description, rows: range) -> Description:
    """Return the description of some consecutive rows of an index with a description."""
    if description["is"] != "range":
        return description
    start, stop, step = description["range"]
    part = range(start, stop, step)[rows.start : rows.stop]
    return {**description, "range": [part.start, part.stop, part.step]}


def _describe_level(level: Any) -> Description | None:
    description = describe_axis(level)
    if description is None or not _is_categorical(description):
        return description
    # Arrow streams do not support dictionaries in dictionaries.
    return {"is": "aside", **axis_to_json(level, description)}


def _is_categorical(description: Description) -> bool:
    return bool(description["is"] == "flat" and description["array"]["is"] == "category")


def axis_to_json(index: Any, description: Description) -> Description:
    """Return a whole index as JSON, including its arrays."""
    import pyarrow

    levels = axis_to_arrow(index, description)
    table = pyarrow.Table.from_arrays(levels, list(map(str, range(len(levels)))))
    stream = b"".join(map(bytes, write_stream(table, description)))
    return {"stream": base64.b64encode(stream).decode()}


def axis_from_json(encoded: Description) -> pandas.Index:
    """Return the index of a value from `axis_to_json`."""
    data = memoryview(bytearray(base64.b64decode(encoded["stream"])))
    table, description = read_stream(data)
    return axis_from_arrow(table.columns, description, data)


def axis_to_arrow(index: Any, description: Description) -> list[pyarrow.Array]:
    """Return the Arrow arrays of an index: none for a range, otherwise one for each level."""
    if description["is"] == "range":
        return []
    if description["is"] == "flat":
        return [to_arrow(index.array, description["array"])]
    return [
        _to_dictionary_array(codes, values, level, False)
        for codes, values, level in zip(
            index.codes, index.levels, description["levels"], strict=True
        )
    ]


def axis_from_arrow(
    columns: list[pyarrow.ChunkedArray], description: Description, data: memoryview
) -> pandas.Index:
    """Return the index of arrays from `axis_to_arrow`."""
    import pandas

    if description["is"] == "range":
        return pandas.RangeIndex(*description["range"], name=description["names"][0])
    if description["is"] == "flat":
        array = from_arrow(columns[0], description["array"], data)
        index = pandas.Index(array, dtype=array.dtype, name=description["names"][0], copy=False)
        if "frequency" in description:
            index.freq = description["frequency"]
        return index
    pairs = [
        _from_dictionary_array(column, level, data)
        for column, level in zip(columns, description["levels"], strict=True)
    ]
    return pandas.MultiIndex(
        levels=[level for _, level in pairs],
        codes=[codes for codes, _ in pairs],
        names=description["names"],
    )


def _to_dictionary_array(
    codes: Any, index: Any, description: Description, ordered: bool
) -> pyarrow.Array:
    """Return codes and their index as a dictionary array, so that other readers see values."""
    import numpy
    import pyarrow

    codes = numpy.asarray(codes)
    if description["is"] == "aside":
        return pyarrow.array(codes)
    if description["is"] == "range":
        values = pyarrow.array(numpy.asarray(index))
    else:
        (values,) = axis_to_arrow(index, description)
    missing = codes < 0
    indices = pyarrow.array(codes, mask=missing if missing.any() else None)
    return pyarrow.DictionaryArray.from_arrays(indices, values, ordered=ordered)


def _from_dictionary_array(
    column: pyarrow.ChunkedArray, description: Description, data: memoryview
) -> Any:
    """Return the codes of a dictionary array, and their index."""
    import numpy
    import pyarrow

    if description["is"] == "aside":
        return numpy.array(column.to_numpy()), axis_from_json(description)
    values = pyarrow.chunked_array([column.chunk(0).dictionary])
    index = axis_from_arrow([values], description, data)
    indices = pyarrow.chunked_array([chunk.indices for chunk in column.chunks])
    return numpy.array(indices.fill_null(-1).to_numpy()), index


def _has_nan(array: Any) -> bool:
    import numpy

    return bool(numpy.isnan(array.to_numpy(dtype=array.dtype.numpy_dtype, na_value=0)).any())


def _describe_objects(array: Any) -> Description | None:
    import numpy

    values = numpy.asarray(array)
    kinds = set(map(type, values))
    if not kinds <= {str, float, type(None)} or not _are_strings(values):
        return None
    if float in kinds:
        nans = all(value != value for value in values if type(value) is float)
        return {"is": "object", "missing": "nan"} if nans and type(None) not in kinds else None
    return {"is": "object", "missing": "none"}


def _are_strings(array: Any) -> bool:
    """Return whether all values are `str` or missing, and valid in Arrow (no lone surrogates)."""
    import numpy
    import pandas
    import pyarrow

    values = numpy.asarray(array, dtype=object)
    if not set(map(type, values)) <= {str, type(None), float, type(pandas.NA)}:
        return False
    try:
        for start in range(0, len(values), _CHUNK):
            pyarrow.array(values[start : start + _CHUNK], pyarrow.large_string(), from_pandas=True)
    except (UnicodeError, pyarrow.ArrowException):
        return False
    return True


def _string_dtype(description: Description) -> Any:
    import numpy
    import pandas

    if description["missing"] == "NA":
        return pandas.StringDtype(description["storage"])
    return pandas.StringDtype(description["storage"], na_value=numpy.nan)
