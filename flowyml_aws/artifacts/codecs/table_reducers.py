"""Reducers of the values of polars and pyarrow that their own pickles do not keep, or keep whole.

A reducer is called only for values of its library, which is therefore imported.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from flowyml_aws.artifacts.codecs.lazy_values import unread
from flowyml_aws.artifacts.errors import UnstorableValueError

if TYPE_CHECKING:
    import polars

__all__ = ["reduce_polars", "reduce_pyarrow"]

# Copying a slice costs more than storing the rest of a small buffer.
_MIN_UNUSED_BYTES = 4096


def reduce_polars(value: Any) -> Any:
    """Reduce a scan of files to its rows, and columns that polars can't write to lists."""
    import polars

    if isinstance(value, polars.LazyFrame):
        if "SCAN" not in value.explain(optimized=False):
            return NotImplemented
        return _lazy_frame, (value.collect(),)
    if type(value) is polars.DataFrame and any(map(_is_unwritable, value.dtypes)):
        return _frame, (value.get_columns(),)
    if type(value) is polars.Series and _is_unwritable(value.dtype):
        items = (value.name, value.to_list(), value.dtype)
        if _series(*items).dtype != value.dtype:
            raise UnstorableValueError(
                what=f"A polars series of type {value.dtype} can't be stored",
                why="polars can neither write this type nor restore it from a list",
                fix="cast it to another type",
            )
        return _series, items
    return NotImplemented


def reduce_pyarrow(value: Any) -> Any:
    """Reduce a slice of a large array to a copy of the slice. Refuse datasets."""
    import pyarrow

    if isinstance(value, pyarrow.Array):
        if value.get_total_buffer_size() - value.nbytes < _MIN_UNUSED_BYTES:
            return NotImplemented
        return pyarrow.concat_arrays([value]).__reduce_ex__(5)
    dataset = sys.modules.get("pyarrow.dataset")
    if dataset is not None and isinstance(value, dataset.Dataset | dataset.Fragment):
        raise unread(value, "return its rows (call to_table()), or the Path of its files")
    return NotImplemented


def _lazy_frame(frame: polars.DataFrame) -> polars.LazyFrame:
    return frame.lazy()


def _frame(columns: list[polars.Series]) -> polars.DataFrame:
    import polars

    # A constructor would replace an empty name, maybe by the name of another column.
    frame = polars.DataFrame({str(number): column for number, column in enumerate(columns)})
    frame.columns = [column.name for column in columns]
    return frame


def _series(name: str, items: list[Any], kind: Any) -> polars.Series:
    import polars

    return polars.Series(name, items, kind)


def _is_unwritable(kind: Any) -> bool:
    """Return whether a type contains objects or arrays of width 0, which polars can't write."""
    import polars

    if isinstance(kind, polars.Array):
        return not kind.size or _is_unwritable(kind.inner)
    if isinstance(kind, polars.List):
        return _is_unwritable(kind.inner)
    if isinstance(kind, polars.Struct):
        return any(_is_unwritable(field.dtype) for field in kind.fields)
    return bool(kind == polars.Object)
