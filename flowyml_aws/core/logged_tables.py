"""Tables that steps log: their first rows, with plain values.

No package is imported: data frames have the methods that are needed here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from flowyml_aws.core.errors import UnloggableValueError

__all__ = ["MAX_COLUMNS", "MAX_ROWS", "Cell", "TableHead", "head_of"]

MAX_ROWS = 100
"""Number of rows of a table that are kept."""
MAX_COLUMNS = 50
"""Number of columns of a table that are kept."""

Cell = str | int | float | bool | None

_MAX_CELL = 200  # characters
_MAX_CHARACTERS = 64 * 1024  # of all cells


@dataclass(frozen=True, slots=True)
class TableHead:
    """The first rows and columns of a table.

    Attributes:
        all_rows, all_columns: Numbers of rows and columns of the whole table.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    all_rows: int
    all_columns: int


def head_of(name: str, table: Any) -> TableHead:
    """Return the first rows of a table.

    Args:
        name: Name of the table, for error messages.
        table: A data frame of pandas or polars, an Arrow table, a list of dicts, a list of rows, or
            a dict of columns.

    Raises:
        UnloggableValueError: It is not a table.
    """
    columns, rows, count = _parts(name, table)
    kept, characters = [], sum(map(len, columns[:MAX_COLUMNS]))
    for row in islice(rows, MAX_ROWS):
        cells = tuple(_cell(value) for value in islice(row, MAX_COLUMNS))
        characters += sum(len(cell) if isinstance(cell, str) else 8 for cell in cells)
        if characters > _MAX_CHARACTERS:
            break
        kept.append(cells)
    return TableHead(tuple(columns[:MAX_COLUMNS]), tuple(kept), count, len(columns))


def _parts(name: str, table: Any) -> tuple[list[str], Iterable[Iterable[Any]], int]:
    """Return the names of the columns, the first rows, and the number of all rows."""
    if hasattr(table, "itertuples") and hasattr(table, "columns"):  # pandas
        head = table.head(MAX_ROWS)
        return _names(table.columns), head.itertuples(index=False, name=None), len(table)
    if hasattr(table, "iter_rows") and hasattr(table, "columns"):  # polars
        return _names(table.columns), table.head(MAX_ROWS).iter_rows(), len(table)
    if hasattr(table, "column_names") and hasattr(table, "to_pylist"):  # Arrow
        names = table.column_names
        head = table.slice(0, MAX_ROWS).to_pydict()
        return _names(names), zip(*(head[column] for column in names), strict=True), len(table)
    if isinstance(table, Mapping) and all(map(_is_sequence, table.values())):
        lengths = {len(column) for column in table.values()}
        if len(lengths) <= 1:
            return _names(table), zip(*table.values(), strict=True), max(lengths, default=0)
    elif _is_sequence(table) and all(isinstance(row, Mapping) for row in table):
        names = list(dict.fromkeys(key for row in table[:MAX_ROWS] for key in row))
        return _names(names), ([row.get(key) for key in names] for row in table), len(table)
    elif _is_sequence(table) and all(map(_is_sequence, table)):
        width = max(map(len, table))
        padded = ([*row, *[None] * (width - len(row))] for row in table)
        return [str(number) for number in range(width)], padded, len(table)
    raise UnloggableValueError(
        what=f"Table {name!r} is not a table: got {type(table).__name__}",
        why="a table is a data frame of pandas or polars, an Arrow table, a list of dicts, a list "
        "of rows, or a dict of columns of the same length",
        fix="pass one of these",
    )


def _is_sequence(value: object) -> bool:
    is_array = hasattr(value, "__len__") and hasattr(value, "__getitem__")
    return is_array and not isinstance(value, (str, bytes, Mapping)) and bool(_shape(value))


def _shape(value: object) -> Any:
    return getattr(value, "shape", True)  # () for an array without dimensions


def _names(names: Iterable[object]) -> list[str]:
    return [str(name)[:_MAX_CELL] for name in names]


def _cell(value: Any) -> Cell:
    if not isinstance(value, (str, int, float, bool, Sequence)) and hasattr(value, "item"):
        try:
            value = value.item()
        except (ValueError, TypeError, RuntimeError):  # it has several elements
            value = str(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < 2**63:
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    return str(value)[:_MAX_CELL]
