"""The heads of tables that steps log."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas
import polars
import pyarrow
import pytest

from flowyml_aws.core.errors import UnloggableValueError
from flowyml_aws.core.logged_tables import MAX_ROWS, TableHead, head_of

ROWS = ((1, "x"), (2, "y"))
COLUMNS = {"a": [1, 2], "b": ["x", "y"]}


@pytest.mark.parametrize(
    "table",
    [
        COLUMNS,
        {"a": np.array([1, 2]), "b": ("x", "y")},
        [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}],
        pandas.DataFrame(COLUMNS),
        polars.DataFrame(COLUMNS),
        pyarrow.table(COLUMNS),
    ],
)
def test_every_kind_of_table_has_the_same_head(table: Any) -> None:
    assert head_of("rows", table) == TableHead(("a", "b"), ROWS, 2, 2)


def test_rows_without_names_have_numbers() -> None:
    head = head_of("rows", [(1, 2), [3]])
    assert (head.columns, head.rows) == (("0", "1"), ((1, 2), (3, None)))
    assert head_of("rows", np.array([[0.5, 1.5]])).rows == ((0.5, 1.5),)


def test_a_missing_key_of_a_row_is_an_empty_cell() -> None:
    head = head_of("rows", [{"a": 1}, {"b": 2}])
    assert head.rows == ((1, None), (None, 2))


@pytest.mark.parametrize("table", [{"a": range(5000)}, pandas.DataFrame({"a": range(5000)})])
def test_only_the_first_rows_are_kept_and_all_are_counted(table: Any) -> None:
    head = head_of("rows", table)
    assert (len(head.rows), head.all_rows) == (MAX_ROWS, 5000)


def test_wide_tables_and_long_cells_are_cut() -> None:
    head = head_of("rows", [["x" * 10_000] * 500] * 100)
    assert (len(head.columns), head.all_columns) == (50, 500)
    assert sum(len(str(cell)) for row in head.rows for cell in row) <= 64 * 1024


def test_cells_are_json_values() -> None:
    day = datetime.date(2026, 1, 2)
    row = [True, None, np.float32(0.5), float("nan"), 2**70, day, [1, 2], b"\xff", np.int8(3)]
    (cells,) = head_of("rows", [row]).rows
    expected = (True, None, 0.5, "nan", str(2**70), "2026-01-02", "[1, 2]", "b'\\xff'", 3)
    assert cells == expected and type(cells[0]) is bool


def test_an_empty_table_has_no_rows() -> None:
    assert head_of("rows", []).rows == head_of("rows", pandas.DataFrame()).rows == ()


@pytest.mark.parametrize("table", [None, "a,b", 5, {"a": [1], "b": [1, 2]}, {"a": 1}, [1, 2]])
def test_other_values_are_errors_that_name_the_table(table: Any) -> None:
    with pytest.raises(UnloggableValueError, match="Table 'rows' is not a table"):
        head_of("rows", table)
