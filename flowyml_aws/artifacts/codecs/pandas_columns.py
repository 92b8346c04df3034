"""One column or index of pandas as Arrow arrays, exactly.

Arrow has one kind of text, of missing value and of index; pandas has many. So each array comes
with a description in JSON, by which it is made again as it was.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any, TypeAlias

from flowyml_aws.artifacts.codecs.arrow import is_plain_type, read_stream, write_stream
from flowyml_aws.artifacts.codecs.arrow_numbers import arrow_to_numpy, numpy_to_arrow
from flowyml_aws.artifacts.codecs.zones import zone_in_arrow, zone_name, zone_named

if TYPE_CHECKING:
    import pandas
    import pyarrow

__all__ = [
    "Described",
    "axis_from_arrow",
    "axis_from_json",
    "axis_to_arrow",
    "axis_to_json",
    "describe",
    "describe_axis",
    "from_arrow",
    "to_arrow",
]

Described: TypeAlias = dict[str, Any]

_NUMBERS = ["b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]
_EXTENSIONS = re.compile("U?Int(8|16|32|64)Dtype|(Boolean|Float32|Float64|Period|Interval)Dtype")
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
        if categories is None or _is_coded(categories):
            return None
        return {"is": "category", "of": categories, "ordered": dtype.ordered}
    if kind == "DatetimeTZDtype":
        zone = zone_name(dtype.tz)
        return {"is": "instant", "unit": dtype.unit, "zone": zone} if zone else None
    if kind == "ArrowDtype":
        return {"is": "arrow"} if is_plain_type(dtype.pyarrow_dtype) else None
    if kind == "StringDtype":
        missing = "NA" if dtype.na_value is pandas.NA else "nan"
        described = {"is": "text", "storage": dtype.storage, "missing": missing}
        same = _text_dtype(described) == dtype
        return described if same and (dtype.storage != "python" or _is_text(array)) else None
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


def to_arrow(array: Any, described: Described) -> pyarrow.Array:
    """The Arrow array of what `describe` has described; numbers are not copied."""
    import numpy
    import pyarrow

    kind = described["is"]
    if kind == "numpy":
        return numpy_to_arrow(numpy.asarray(array), None)
    if kind == "instant":
        instants = array.tz_convert("UTC").tz_localize(None)
        return numpy_to_arrow(numpy.asarray(instants), zone_in_arrow(described["zone"]))
    if kind == "category":
        return _coded(array.codes, array.categories, described["of"], bool(array.ordered))
    if kind == "object":
        return pyarrow.array(numpy.asarray(array), pyarrow.large_string(), from_pandas=True)
    made = pyarrow.array(array)
    if isinstance(made, pyarrow.ChunkedArray):
        made = made.combine_chunks()  # or every column would be cut where this one is
    return made.storage if isinstance(made, pyarrow.ExtensionArray) else made


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
        return arrow_to_numpy(column, numpy.dtype(described["dtype"]), data)
    if kind == "instant":
        instants = arrow_to_numpy(column, numpy.dtype(f"M8[{described['unit']}]"), data)
        zone = zone_named(described["zone"])
        return pandas.DatetimeIndex(instants).tz_localize("UTC").tz_convert(zone).array
    if kind == "category":
        codes, categories = _decoded(column, described["of"], data)
        return pandas.Categorical.from_codes(codes, categories, ordered=described["ordered"])
    if kind == "object":
        texts = column.to_numpy(zero_copy_only=False).astype(object)
        if described["missing"] == "nan" and column.null_count:
            texts[column.is_null().to_numpy()] = numpy.nan
        return texts
    if kind == "arrow":
        return pandas.ArrowDtype(column.type).__from_arrow__(column)
    if kind == "text":
        return _text_dtype(described).__from_arrow__(column)
    dtype = pandas.api.types.pandas_dtype(described["dtype"])
    if kind != "extension" or not _EXTENSIONS.fullmatch(type(dtype).__name__):
        raise ValueError(f"there is no column of kind {kind} and type {dtype}")
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
        levels = [_describe_level(level) for level in index.levels]
        return {"is": "levels", "levels": levels, **names} if all(levels) else None
    described = describe(index.array)
    if described is None or type(index).__module__.partition(".")[0] != "pandas":
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


def _describe_level(level: Any) -> Described | None:
    described = describe_axis(level)
    if described is None or not _is_coded(described):
        return described
    # Arrow's streams fail on dictionaries in dictionaries.
    return {"is": "aside", **axis_to_json(level, described)}


def _is_coded(described: Described) -> bool:
    return bool(described["is"] == "flat" and described["array"]["is"] == "category")


def axis_to_json(index: Any, described: Described) -> Described:
    """A whole index as JSON, its arrays included."""
    import pyarrow

    levels = axis_to_arrow(index, described)
    table = pyarrow.Table.from_arrays(levels, list(map(str, range(len(levels)))))
    stream = b"".join(map(bytes, write_stream(table, described)))
    return {"stream": base64.b64encode(stream).decode()}


def axis_from_json(written: Described) -> pandas.Index:
    """The index of `axis_to_json`."""
    data = memoryview(bytearray(base64.b64decode(written["stream"])))
    table, described = read_stream(data)
    return axis_from_arrow(table.columns, described, data)


def axis_to_arrow(index: Any, described: Described) -> list[pyarrow.Array]:
    """The Arrow arrays of an index: none of a range, one for each level."""
    if described["is"] == "range":
        return []
    if described["is"] == "flat":
        return [to_arrow(index.array, described["array"])]
    return [
        _coded(codes, level, of, False)
        for codes, level, of in zip(index.codes, index.levels, described["levels"], strict=True)
    ]


def axis_from_arrow(
    columns: list[pyarrow.ChunkedArray], described: Described, data: memoryview
) -> pandas.Index:
    """The index, from the arrays of `axis_to_arrow`."""
    import pandas

    if described["is"] == "range":
        return pandas.RangeIndex(*described["range"], name=described["names"][0])
    if described["is"] == "flat":
        array = from_arrow(columns[0], described["array"], data)
        index = pandas.Index(array, dtype=array.dtype, name=described["names"][0], copy=False)
        if "frequency" in described:
            index.freq = described["frequency"]
        return index
    pairs = [
        _decoded(column, of, data) for column, of in zip(columns, described["levels"], strict=True)
    ]
    return pandas.MultiIndex(
        levels=[level for _, level in pairs],
        codes=[codes for codes, _ in pairs],
        names=described["names"],
    )


def _coded(codes: Any, index: Any, described: Described, ordered: bool) -> pyarrow.Array:
    """A dictionary array, so that other readers see values."""
    import numpy
    import pyarrow

    codes = numpy.asarray(codes)
    if described["is"] == "aside":
        return pyarrow.array(codes)
    if described["is"] == "range":
        values = pyarrow.array(numpy.asarray(index))
    else:
        (values,) = axis_to_arrow(index, described)
    missing = codes < 0
    indices = pyarrow.array(codes, mask=missing if missing.any() else None)
    return pyarrow.DictionaryArray.from_arrays(indices, values, ordered=ordered)


def _decoded(column: pyarrow.ChunkedArray, described: Described, data: memoryview) -> Any:
    """Codes, and what they stand for."""
    import numpy
    import pyarrow

    if described["is"] == "aside":
        return numpy.array(column.to_numpy()), axis_from_json(described)
    values = pyarrow.chunked_array([column.chunk(0).dictionary])
    index = axis_from_arrow([values], described, data)
    indices = pyarrow.chunked_array([chunk.indices for chunk in column.chunks])
    return numpy.array(indices.fill_null(-1).to_numpy()), index


def _describe_objects(array: Any) -> Described | None:
    import numpy

    values = numpy.asarray(array)
    kinds = set(map(type, values))
    if not kinds <= {str, float, type(None)} or not _is_text(values):
        return None
    if float in kinds:
        nans = all(value != value for value in values if type(value) is float)
        return {"is": "object", "missing": "nan"} if nans and type(None) not in kinds else None
    return {"is": "object", "missing": "none"}


def _is_text(array: Any) -> bool:
    """Whether all of it is `str`, `None` or missing, and Arrow takes it (no lone surrogates)."""
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


def _text_dtype(described: Described) -> Any:
    import numpy
    import pandas

    if described["missing"] == "NA":
        return pandas.StringDtype(described["storage"])
    return pandas.StringDtype(described["storage"], na_value=numpy.nan)
