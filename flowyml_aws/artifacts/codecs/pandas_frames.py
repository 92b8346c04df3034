"""The codec for pandas' frames and series: an Arrow IPC stream."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from flowyml_aws.artifacts.codecs.arrow import has_pyarrow, is_second, read_stream, write_stream
from flowyml_aws.artifacts.codecs.pandas_columns import (
    Described,
    axis_from_arrow,
    axis_from_json,
    axis_to_arrow,
    axis_to_json,
    describe,
    describe_axis,
    from_arrow,
    to_arrow,
)
from flowyml_aws.artifacts.codecs.plain import JsonCodec
from flowyml_aws.artifacts.content import Content

if TYPE_CHECKING:
    import pandas

__all__ = ["PandasCodec"]

_KINDS = ("pandas.DataFrame", "pandas.Series")
_INDEX = "__index_level_{}__"


class PandasCodec:
    """`pandas.DataFrame` and `pandas.Series` with index, labels, categories, zones and attrs.

    A column of objects that are not all texts goes by pickle with its frame, and so does
    everything where pyarrow is missing.
    """

    name = "pandas"
    version = 1

    def accepts(self, value: Any) -> bool:
        """Whether it is a frame or series of types that come back the same."""
        pandas = sys.modules.get("pandas")
        if pandas is None or type(value) not in (pandas.DataFrame, pandas.Series):
            return False
        return has_pyarrow() and _describe(value) is not None

    def encode(self, value: Any) -> Content:
        """The columns' own buffers, in a stream."""
        import pyarrow

        described = _describe(value)
        if described is None:
            raise TypeError("it changed since it was looked at")
        arrays = [to_arrow(column.array, of) for column, of in _pairs(value, described)]
        names = [str(name) for name in _labels(value)]
        levels = axis_to_arrow(value.index, described["index"])
        names += [_INDEX.format(number) for number in range(len(levels))]
        table = pyarrow.Table.from_arrays([*arrays, *levels], names)
        return Content(*write_stream(table, described))

    def decode(self, data: memoryview) -> pandas.DataFrame | pandas.Series[Any]:
        """A frame or series whose numbers lie in the loaded memory itself."""
        import pandas

        table, described = read_stream(data)
        count = len(described["columns"])
        arrays = [
            from_arrow(column, of, data)
            for column, of in zip(table.columns[:count], described["columns"], strict=True)
        ]
        index = axis_from_arrow(table.columns[count:], described["index"], data)
        made: pandas.DataFrame | pandas.Series[Any]
        if is_second(described, _KINDS):
            made = pandas.Series(arrays[0], index, arrays[0].dtype, described["name"], copy=False)
        else:
            columns = {
                # In a bare array of objects pandas would look for a better type.
                at: pandas.Series(array, index, object) if array.dtype == object else array
                for at, array in enumerate(arrays)
            }
            made = pandas.DataFrame(columns, index, copy=False)
            made.columns = axis_from_json(described["labels"])
        made.attrs.update(described["attrs"])
        return made


def _describe(value: Any) -> Described | None:
    """All that Arrow does not hold of it, as JSON; None if it would not come back the same."""
    if not value.flags.allows_duplicate_labels or not JsonCodec().accepts(value.attrs):
        return None
    index = describe_axis(value.index)
    columns = [describe(column.array) for column in _columns(value)]
    if index is None or None in columns:
        return None
    described = {"index": index, "columns": columns, "attrs": value.attrs}
    if value.ndim == 1:
        if not JsonCodec().accepts(value.name) or type(value.name) in (list, dict):
            return None
        return {"kind": _KINDS[1], "name": value.name, **described}
    labels = describe_axis(value.columns)
    if labels is None:
        return None
    return {"kind": _KINDS[0], "labels": axis_to_json(value.columns, labels), **described}


def _columns(value: Any) -> list[Any]:
    return [value] if value.ndim == 1 else [value.iloc[:, at] for at in range(value.shape[1])]


def _pairs(value: Any, described: Described) -> zip[tuple[Any, Described]]:
    return zip(_columns(value), described["columns"], strict=True)


def _labels(value: Any) -> list[Any]:
    return [value.name] if value.ndim == 1 else list(value.columns)
