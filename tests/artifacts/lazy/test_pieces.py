"""Pieces of stored values are those of the same values in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pandas
import polars
import pyarrow
import pytest

from flowyml_aws.artifacts.codecs.arrow import ArrowCodec
from flowyml_aws.artifacts.content import part_count
from flowyml_aws.artifacts.lazy.memory import in_memory
from flowyml_aws.artifacts.lazy.pieces import LazyAccessError, Pieces
from flowyml_aws.artifacts.lazy.stored import stored_pieces
from flowyml_aws.artifacts.lazy.tables import StoredTable
from flowyml_aws.artifacts.values import save_value
from flowyml_aws.artifacts.verified_bytes import VerifiedBytes
from flowyml_aws.core.errors import DamagedArtifactError
from flowyml_aws.local.directory import DirectoryArtifactStore

ROWS = 60
RANDOM = numpy.random.default_rng(0)
SLICES = [slice(3, 9), slice(-4, None), slice(0, 0), slice(50, 500), slice(None)]
STEPS = [slice(2, 40, 7), slice(None, None, -1)]


def words(count: int) -> list[str | None]:
    return [None if n % 7 == 3 else f"word {n} {'x' * (n % 30)}" for n in range(count)]


def frame() -> pandas.DataFrame:
    columns = {
        "number": RANDOM.random(ROWS),
        "word": words(ROWS),
        "object": numpy.array(words(ROWS), dtype=object),
        "kind": pandas.Categorical(["a", "b", None] * (ROWS // 3)),
        "is": RANDOM.random(ROWS) > 0.5,
        "date": pandas.date_range("2026-01-01", periods=ROWS, freq="h", tz="Europe/Berlin"),
        "integer": pandas.array([None, 2, 3] * (ROWS // 3), dtype="Int16"),
    }
    return pandas.DataFrame(columns, pandas.RangeIndex(5, 5 + 2 * ROWS, 2, name="row"))


def table() -> pyarrow.Table:
    return pyarrow.table(
        {
            "number": RANDOM.random(ROWS),
            "word": pyarrow.array(words(ROWS)),
            "view": pyarrow.array(words(ROWS)).cast(pyarrow.string_view()),
            "kind": pyarrow.array(words(ROWS)).dictionary_encode(),
            "list": pyarrow.array([[n] * (n % 4) for n in range(ROWS)]),
            "nothing": pyarrow.nulls(ROWS),
        },
        metadata={"of": "the table"},
    )


def polars_frame() -> polars.DataFrame:
    return polars.DataFrame(
        {
            "number": RANDOM.random(ROWS),
            "word": words(ROWS),
            "kind": polars.Series(["a", "b"] * (ROWS // 2), dtype=polars.Categorical),
            "list": [[f"a long string of row {n}"] * (n % 3) for n in range(ROWS)],
            "struct": [{"n": n, "s": str(n)} for n in range(ROWS)],
        }
    )


def in_chunks(rows: pyarrow.Table) -> pyarrow.Table:
    return pyarrow.concat_tables([rows.slice(0, 7), rows.slice(7, 20), rows.slice(27)])


ARRAYS: dict[str, Callable[[], Any]] = {
    "array": lambda: RANDOM.random((ROWS, 3)),
    "large array": lambda: RANDOM.random((ROWS, 20_000)),  # in several parts, compressed or not
    "Fortran order": lambda: numpy.asfortranarray(RANDOM.random((ROWS, 2, 3))),
    "vector": lambda: numpy.arange(ROWS, dtype=">i2"),
    "empty rows": lambda: numpy.zeros((ROWS, 0)),
}
TABLES: dict[str, Callable[[], Any]] = {
    "frame": frame,
    "frame with dates": lambda: frame().set_index("date"),
    "frame with levels": lambda: frame().set_index(["kind", "word"]),
    "frame with equal labels": lambda: frame()[["number", "is"]].set_axis([1, 1], axis=1),
    "series": lambda: frame()["word"],
    "polars": polars_frame,
    "polars in chunks": lambda: polars.concat([polars_frame()] * 3, rechunk=False),
    "polars series": lambda: polars_frame()["word"],
    "table": table,
    "table in chunks": lambda: in_chunks(table()),
    "table in chunks without dictionaries": lambda: in_chunks(table().drop_columns("kind")),
    "batch": lambda: table().to_batches()[0],
}


def is_equal(first: Any, second: Any) -> bool:
    if type(first) is not type(second):
        return False
    if isinstance(first, numpy.ndarray):
        return bool(first.dtype == second.dtype and numpy.array_equal(first, second))
    if isinstance(first, pandas.DataFrame):
        pandas.testing.assert_frame_equal(first, second)
    elif isinstance(first, pandas.Series):
        pandas.testing.assert_series_equal(first, second)
    elif hasattr(first, "equals"):
        return bool(first.equals(second))
    else:
        return bool(first == second)
    return True


@pytest.fixture
def store(tmp_path: Path) -> DirectoryArtifactStore:
    return DirectoryArtifactStore(tmp_path / "store")


def stored(store: DirectoryArtifactStore, value: Any) -> Pieces:
    pieces = stored_pieces(store, save_value(store, "value", value), "value")
    assert pieces is not None
    return pieces


@pytest.mark.parametrize("make", ARRAYS.values(), ids=ARRAYS)
def test_rows_of_a_stored_array(store: DirectoryArtifactStore, make: Callable[[], Any]) -> None:
    array = make()
    pieces, expected = stored(store, array), in_memory(array)
    mask = numpy.arange(ROWS) % 5 == 0
    keys = [*SLICES, *STEPS, 4, -1, numpy.int8(3), [7, 1, 7], [], mask, ..., (slice(2, 4), ...)]
    for key in keys:
        assert is_equal(pieces.get(key), expected.get(key)), key
    if array.ndim == 2 and array.size:
        assert is_equal(pieces.get((3, [0, 1])), expected.get((3, [0, 1])))
    assert pieces.length() == len(array)
    assert (pieces.fact("shape"), pieces.fact("dtype")) == (array.shape, array.dtype)
    with pytest.raises(IndexError):
        pieces.get(ROWS)


@pytest.mark.parametrize("make", TABLES.values(), ids=TABLES)
def test_rows_and_columns_of_a_stored_table(
    store: DirectoryArtifactStore, make: Callable[[], Any]
) -> None:
    value = make()
    pieces, expected = stored(store, value), in_memory(value)
    assert pieces.length() == expected.length()
    assert pieces.fact("shape") == expected.fact("shape")
    for key in SLICES:
        assert is_equal(pieces.get(key), expected.get(key)), key
    if expected.fact("shape")[1:]:
        known = list(value.columns) if hasattr(value, "dtypes") else value.schema.names
        labels = list(dict.fromkeys([known[-1], known[0]]))
        assert is_equal(pieces.columns(labels), expected.columns(labels))
        assert is_equal(pieces.columns([]), expected.columns([])) or not is_pandas(value)
        assert is_equal(pieces.fact("schema"), expected.fact("schema"))
    else:
        assert pieces.fact("dtype") == value.dtype


def is_pandas(value: Any) -> bool:
    return type(value).__module__.startswith("pandas")


@pytest.mark.parametrize("make", [lambda: RANDOM.random(9), frame, polars_frame, table])
def test_the_errors_of_stored_values_and_of_those_in_memory_are_the_same(
    store: DirectoryArtifactStore, make: Callable[[], Any]
) -> None:
    value = make()
    for pieces in (stored(store, value), in_memory(value)):
        if isinstance(value, numpy.ndarray):
            with pytest.raises(LazyAccessError, match="columns"):
                pieces.columns(["number"])
            with pytest.raises(LazyAccessError, match="schema"):
                pieces.fact("schema")
            continue
        for key in (3, "number", slice(0, 9, 2)):
            with pytest.raises(LazyAccessError, match="slice without a step"):
                pieces.get(key)
        with pytest.raises(LazyAccessError, match="'missing'"):
            pieces.columns(["number", "missing"])
        with pytest.raises(LazyAccessError, match="must be a list"):
            pieces.columns("number")
        with pytest.raises(LazyAccessError, match="dtype"):
            pieces.fact("dtype")


def test_stored_bytes(store: DirectoryArtifactStore) -> None:
    value = b"some bytes"
    pieces, expected = stored(store, value), in_memory(value)
    for key in (*SLICES, *STEPS, 0, -2):
        assert pieces.get(key) == expected.get(key)
    assert pieces.length() == len(value)


def test_other_values_have_no_stored_pieces(store: DirectoryArtifactStore) -> None:
    assert stored_pieces(store, save_value(store, "value", [1, 2]), "value") is None


def test_a_change_of_a_piece_does_not_change_the_value(store: DirectoryArtifactStore) -> None:
    array = numpy.arange(9)
    for pieces in (stored(store, array), in_memory(array), in_memory(array.tolist())):
        piece = pieces.get(slice(2, 4))
        piece[0] = 100
        assert list(pieces.get(slice(2, 4))) == [2, 3]
    items = in_memory([[1], [2]])
    items.get(0).append(5)
    assert items.get(0) == [1]


def test_a_piece_of_a_damaged_value_is_an_error_that_names_it(
    store: DirectoryArtifactStore,
) -> None:
    ref = save_value(store, "rows", frame())
    path = store.path(ref.key)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    pieces = stored_pieces(store, ref, "rows")
    assert pieces is not None
    with pytest.raises(DamagedArtifactError, match="asset 'rows' is damaged"):
        pieces.length()


def test_only_the_blocks_of_the_last_rows_of_a_table_are_kept(
    store: DirectoryArtifactStore,
) -> None:
    chunk = pyarrow.table({"number": RANDOM.random(1 << 21)})
    ref = save_value(store, "value", pyarrow.concat_tables([chunk] * 4))
    data = VerifiedBytes(store, ref, kept_blocks=None)
    pieces = StoredTable(data, ArrowCodec())
    batches = [pieces.get(slice(start, start + 400_000)) for start in range(0, 4 << 21, 400_000)]
    assert sum(batch.num_rows for batch in batches) == 4 << 21
    assert len(data._blocks) < part_count(ref.size_bytes)
