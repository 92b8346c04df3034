"""Codec for pandas frames and series, stored as an Arrow IPC stream."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flowyml_aws.artifacts.codecs.arrow import (
    Description,
    has_pyarrow,
    is_second_kind,
    read_stream,
    write_stream,
)
from flowyml_aws.artifacts.codecs.pandas_columns import (
    axis_from_arrow,
    axis_from_json,
    axis_to_arrow,
    axis_to_json,
    describe,
    describe_axis,
    describe_rows,
    from_arrow,
    to_arrow,
)
from flowyml_aws.artifacts.codecs.plain import JsonCodec
from flowyml_aws.artifacts.content import Content

if TYPE_CHECKING:
    import pandas

__all__ = ["PandasCodec", "describe_piece", "labels_in"]

_KINDS = ("pandas.DataFrame", "pandas.Series")
_INDEX = "__index_level_{}__"


class PandasCodec:
    """Codec for `pandas.DataFrame` and `pandas.Series`.

    Index, labels, categories, time zones and attrs are kept. A frame with a column of objects that
    are not all strings is pickled. Without pyarrow everything is pickled.
    """

    name = "pandas"
    version = 1

    def accepts(self, value: Any) -> bool:
        """Return whether the value is a frame or series of types that are restored exactly."""
        pandas = sys.modules.get("pandas")
        if pandas is None or type(value) not in (pandas.DataFrame, pandas.Series):
            return False
        return has_pyarrow() and _describe(value) is not None

    def encode(self, value: Any) -> Content:
        """Return the columns' own buffers in a stream."""
        import pyarrow

        description = _describe(value)
        if description is None:
            raise TypeError("it changed while it was being encoded")
        arrays = [
            to_arrow(column.array, column_description)
            for column, column_description in _pairs(value, description)
        ]
        names = [str(name) for name in _labels(value)]
        levels = axis_to_arrow(value.index, description["index"])
        names += [_INDEX.format(number) for number in range(len(levels))]
        table = pyarrow.Table.from_arrays([*arrays, *levels], names)
        return Content(*write_stream(table, description))

    def decode(self, data: memoryview) -> pandas.DataFrame | pandas.Series[Any]:
        """Return a frame or series with its numbers in the loaded memory."""
        import pandas

        table, description = read_stream(data)
        count = len(description["columns"])
        arrays = [
            from_arrow(column, column_description, data)
            for column, column_description in zip(
                table.columns[:count], description["columns"], strict=True
            )
        ]
        index = axis_from_arrow(table.columns[count:], description["index"], data)
        value: pandas.DataFrame | pandas.Series[Any]
        if is_second_kind(description, _KINDS):
            value = pandas.Series(
                arrays[0], index, arrays[0].dtype, description["name"], copy=False
            )
        else:
            columns = {
                # pandas would infer another type for a plain array of objects.
                at: pandas.Series(array, index, object) if array.dtype == object else array
                for at, array in enumerate(arrays)
            }
            value = pandas.DataFrame(columns, index, copy=False)
            value.columns = axis_from_json(description["labels"])
        value.attrs.update(description["attrs"])
        return value


def labels_in(description: Description) -> pandas.Index:
    """Return the labels of the columns of a stored frame."""
    return axis_from_json(description["labels"])


def describe_piece(
    description: Description, columns: Sequence[int] | None, rows: range
) -> Description:
    """Return the description of a piece of a stored frame or series.

    Args:
        description: Description of the whole value.
        columns: Numbers of the columns; None for all.
        rows: Consecutive rows.

    Raises:
        ValueError: The labels of these columns can't be stored.
    """
    piece = {**description, "index": describe_rows(description["index"], rows)}
    if columns is None:
        return piece
    labels = labels_in(description).take(columns)
    axis = describe_axis(labels)
    if axis is None:
        raise ValueError(f"labels of type {type(labels).__qualname__} can't be stored")
    piece["labels"] = axis_to_json(labels, axis)
    piece["columns"] = [description["columns"][at] for at in columns]
    return piece


def _describe(value: Any) -> Description | None:
    """Return as JSON what Arrow does not represent, or None if the value can't be restored."""
    if not value.flags.allows_duplicate_labels or not JsonCodec().accepts(value.attrs):
        return None
    index = describe_axis(value.index)
    columns = [describe(column.array) for column in _columns(value)]
    if index is None or None in columns:
        return None
    description = {"index": index, "columns": columns, "attrs": value.attrs}
    if value.ndim == 1:
        if not JsonCodec().accepts(value.name) or type(value.name) in (list, dict):
            return None
        return {"kind": _KINDS[1], "name": value.name, **description}
    labels = describe_axis(value.columns)
    if labels is None:
        return None
    return {"kind": _KINDS[0], "labels": axis_to_json(value.columns, labels), **description}


def _columns(value: Any) -> list[Any]:
    return [value] if value.ndim == 1 else [value.iloc[:, at] for at in range(value.shape[1])]


def _pairs(value: Any, description: Description) -> zip[tuple[Any, Description]]:
    return zip(_columns(value), description["columns"], strict=True)


def _labels(value: Any) -> list[Any]:
    return [value.name] if value.ndim == 1 else list(value.columns)
