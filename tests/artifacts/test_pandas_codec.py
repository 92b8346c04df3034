from __future__ import annotations

import datetime
import functools
import io
import subprocess
import sys
import zoneinfo
from collections.abc import Callable
from typing import Any

import numpy
import pandas
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from flowyml_aws.artifacts.codecs.pandas_frames import PandasCodec
from tests.artifacts.roundtrip import codec_name, encoded, identical, round_trip
from tests.support.effort import examples

CODEC = PandasCodec()

same_frame = functools.partial(
    pandas.testing.assert_frame_equal,
    check_exact=True,
    check_index_type="exact",
    check_column_type="exact",
)


def assert_same(loaded: Any, original: Any) -> None:
    """Compare values, types, labels and kinds of missing values."""
    assert type(loaded) is type(original)
    assert identical(loaded.attrs, original.attrs)
    if isinstance(loaded, pandas.Series):
        assert identical(loaded.name, original.name)
        loaded, original = loaded.to_frame(), original.to_frame()
    same_frame(loaded, original)
    assert list(loaded.dtypes) == list(original.dtypes)
    assert loaded.index.dtype == original.index.dtype
    for at in range(loaded.shape[1]):
        if loaded.dtypes.iloc[at].kind == "O":
            left, right = list(loaded.iloc[:, at]), list(original.iloc[:, at])
            assert list(map(type, left)) == list(map(type, right))


NUMBERS = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8"]
DATES = ["M8[s]", "M8[ms]", "M8[us]", "M8[ns]", "m8[s]", "m8[us]", "m8[ns]"]
strings = st.text(st.characters(codec="utf-8"), max_size=5)


def arrays(size: int) -> st.SearchStrategy[Any]:
    """Return pandas arrays of every kind that is not pickled, as a column or an index."""

    def lists(elements: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
        return st.lists(elements, min_size=size, max_size=size)

    small = st.integers(-(2**40), 2**40)
    moments = small.map(lambda second: datetime.datetime(1970, 1, 1) + _seconds(second % 2**31))
    zones = st.sampled_from(
        ["UTC", "Europe/Berlin", "America/St_Johns", datetime.timezone(_seconds(-12_600))]
    )
    return st.one_of(
        st.sampled_from(NUMBERS).flatmap(lambda kind: hnp.arrays(kind, size)),
        st.sampled_from(DATES).flatmap(
            lambda kind: lists(small | st.just(-(2**63))).map(
                lambda values: numpy.array(values, "i8").view(kind)
            )
        ),
        lists(strings | st.none()).map(lambda values: numpy.array([*values, 0], object)[:-1]),
        lists(strings | st.just(numpy.nan)).map(lambda v: numpy.array([*v, 0], object)[:-1]),
        st.builds(
            lambda values, kind: pandas.array(values, dtype=kind),
            lists(strings | st.none()),
            st.sampled_from(["str", "string", pandas.StringDtype("python")]),
        ),
        lists(st.integers(0, 100) | st.none()).map(lambda v: pandas.array(v, dtype="UInt8")),
        lists(st.booleans() | st.none()).map(lambda v: pandas.array(v, dtype="boolean")),
        lists(st.integers(0, 100) | st.none()).map(
            lambda values: pandas.array(values, dtype=pandas.ArrowDtype(pyarrow.int64()))
        ),
        st.builds(
            lambda values, zone: pandas.DatetimeIndex(values).tz_localize("UTC").tz_convert(zone),
            lists(moments | st.just(pandas.NaT)),
            zones,
        ).map(lambda index: index.array),
        lists(small).map(lambda v: pandas.PeriodIndex.from_ordinals(v, freq="D").array),
        st.builds(
            lambda names, codes, ordered: pandas.Categorical.from_codes(
                [code % (len(names) + 1) - 1 for code in codes], names, ordered=ordered
            ),
            st.lists(strings, unique=True, max_size=4).map(lambda v: pandas.Index(v, dtype="str"))
            | st.lists(small, unique=True, max_size=4).map(lambda v: pandas.Index(v, dtype="i8")),
            lists(st.integers(0, 4)),
            st.booleans(),
        ),
    )


def _seconds(count: int) -> datetime.timedelta:
    return datetime.timedelta(seconds=count)


names = st.none() | strings | st.integers(-5, 5)


@st.composite
def indexes(draw: st.DrawFn, size: int) -> pandas.Index:
    kind = draw(st.sampled_from(["range", "flat", "levels"]))
    if kind == "range":
        return pandas.RangeIndex(3, 3 + 2 * size, 2, name=draw(names))
    if kind == "flat":
        array = draw(arrays(size))
        return pandas.Index(array, dtype=array.dtype, name=draw(names))
    levels = [draw(arrays(size)), draw(arrays(size))]
    return pandas.MultiIndex.from_arrays(levels, names=[draw(names), draw(names)])


@st.composite
def frames(draw: st.DrawFn) -> pandas.DataFrame:
    rows, columns = draw(st.integers(0, 4)), draw(st.integers(0, 3))
    index = draw(indexes(rows))
    frame = pandas.concat(
        [
            pandas.DataFrame(index=index),
            *(
                pandas.Series(array, index, array.dtype).to_frame()
                for array in (draw(arrays(rows)) for _ in range(columns))
            ),
        ],
        axis=1,
    )
    frame.index = index
    frame.columns = draw(indexes(columns))
    return frame


@examples(60)
@given(frames())
def test_every_frame_is_restored_exactly(frame: pandas.DataFrame) -> None:
    assert codec_name(frame) == "pandas"
    assert_same(round_trip(CODEC, frame), frame)


FRAME = pandas.DataFrame(
    {"number": [1, 2, 3, 4], "text": list("abca"), "float": [0.5, numpy.nan, -0.0, 2.0]}
)


@pytest.mark.parametrize(
    "value",
    [
        FRAME["text"],
        FRAME["float"].rename(None),
        FRAME["number"].rename(7)[:0],
        pandas.DataFrame(),
        pandas.DataFrame(index=range(5)),
        pandas.DataFrame(columns=["a", "b"]),
        pandas.DataFrame([[1, 2]], columns=["same", "same"]),
        FRAME[::2],
        FRAME[["number", "float"]].T,
        FRAME.describe(),
        FRAME.groupby("text").agg(["mean", "size"]),
        FRAME.pivot_table(index="number", columns="text", values="float"),
        FRAME.assign(bin=pandas.cut(FRAME["number"], 2)),
        FRAME.groupby([pandas.cut(FRAME["number"], 2), "text"], observed=False).size(),
        FRAME.set_index(pandas.date_range("2026-03-28", periods=4, tz="Europe/Berlin")),
        FRAME.set_index(pandas.date_range("2026-01-01", periods=4, freq="MS")),
        FRAME.set_index(pandas.timedelta_range("1h", periods=4)),
        FRAME.set_index(pandas.interval_range(0, 4)),
        pandas.DataFrame(numpy.arange(6).reshape(3, 2), copy=False),
        pandas.DataFrame({"half": numpy.array([0.5, 1], "f2")}),
    ],
    ids=lambda value: f"{type(value).__name__} {value.shape}",
)
def test_typical_results_of_analyses_are_restored_exactly(value: Any) -> None:
    assert codec_name(value) == "pandas"
    assert_same(round_trip(CODEC, value), value)


def test_an_index_keeps_its_frequency() -> None:
    frame = FRAME.set_index(pandas.date_range("2026-01-01", periods=4, freq="MS"))
    assert round_trip(CODEC, frame).index.freq == frame.index.freq


def test_a_frame_keeps_its_attributes() -> None:
    frame = FRAME.copy()
    frame.attrs["source"] = {"url": "s3://data", "rows": [1, 2]}
    assert round_trip(CODEC, frame).attrs == frame.attrs


def test_a_time_zone_keeps_its_class() -> None:
    pytz = pytest.importorskip("pytz", reason="only older versions of pandas require pytz")
    moments = pandas.DatetimeIndex(["2026-07-01"])
    for zone in (pytz.timezone("Europe/Berlin"), zoneinfo.ZoneInfo("Europe/Berlin")):
        series = pandas.Series(moments.tz_localize(zone))
        loaded = round_trip(CODEC, series)
        assert loaded.dtype == series.dtype
        assert type(loaded.dt.tz).__module__ == type(series.dt.tz).__module__


class Odd:
    pass


class Subframe(pandas.DataFrame):  # type: ignore[misc]  # pandas ships no types
    pass


@pytest.mark.parametrize(
    "frame",
    [
        pandas.DataFrame({"a": [Odd()]}),
        FRAME.T,
        pandas.DataFrame({"a": pandas.Series(["x", None, numpy.nan], dtype=object)}),
        pandas.DataFrame({"a": pandas.Series(["x", pandas.NA], dtype=object)}),
        pandas.DataFrame({"a": pandas.Series(["x", 1.5], dtype=object)}),
        pandas.DataFrame({"a": pandas.Series(["\ud800"], dtype=object)}),
        pandas.DataFrame({"a": pandas.Series([numpy.str_("x")], dtype=object)}),
        pandas.DataFrame({"a": [1 + 2j]}),
        pandas.DataFrame({"a": pandas.arrays.SparseArray([0, 0, 1])}),
        pandas.DataFrame({("tuple",): [1]}, index=pandas.Index([0], name=("a", "b"))),
        pandas.DataFrame([[1]], columns=pandas.Index([Odd()])),
        pandas.DataFrame([1], index=[Odd()]),
        pandas.DataFrame({"a": [1]}).set_flags(allows_duplicate_labels=False),
        pandas.Series([1], name=("a", 1)),
        pandas.Series(pandas.Categorical([Odd()])),
        Subframe({"a": [1]}),
    ],
    ids=lambda frame: f"{type(frame).__name__} {frame.shape}",
)
def test_a_frame_that_arrow_would_change_is_pickled(frame: Any) -> None:
    assert codec_name(frame) == "pickle"


def test_attributes_that_json_would_change_are_pickled() -> None:
    frame = FRAME.copy()
    frame.attrs["shape"] = (1, 2)
    assert codec_name(frame) == "pickle"


def test_storing_does_not_copy_numbers() -> None:
    frame = pandas.DataFrame({"a": numpy.arange(10_000.0), "b": numpy.arange(10_000)})
    pieces: list[Any] = list(CODEC.encode(frame).chunks())
    pieces = [piece for piece in pieces if piece.nbytes > 10_000]
    assert len(pieces) == 2
    for piece, column in zip(pieces, frame, strict=True):
        assert numpy.shares_memory(numpy.frombuffer(piece, numpy.uint8), frame[column].to_numpy())


def test_decoded_numbers_are_writable_views_of_the_loaded_memory() -> None:
    data = encoded(CODEC, pandas.DataFrame({"a": numpy.arange(100.0), "b": range(100)}))
    memory = numpy.frombuffer(data, numpy.uint8)
    loaded = CODEC.decode(data)
    assert all(numpy.shares_memory(loaded[name].to_numpy(), memory) for name in loaded)
    loaded.loc[3, "a"] = 42
    assert loaded["a"].tolist()[2:5] == [2, 42, 4]


def test_a_chunked_string_column_does_not_split_other_columns() -> None:
    chunks = pyarrow.chunked_array([["a"], ["b", "c"]])
    frame = pandas.DataFrame({"number": [1, 2, 3], "text": chunks.to_pandas(types_mapper=_arrow)})
    assert_same(round_trip(CODEC, frame), frame)
    assert pyarrow.ipc.open_stream(encoded(CODEC, frame)).read_all()["number"].num_chunks == 1


def _arrow(kind: Any) -> Any:
    return pandas.ArrowDtype(kind)


def test_other_arrow_readers_see_the_values() -> None:
    frame = pandas.DataFrame(
        {"when": pandas.to_datetime(["2026-01-01", None]).tz_localize("UTC"), "kind": ["a", "b"]}
    ).astype({"kind": "category"})
    data = b"".join(CODEC.encode(frame).chunks())
    table = pyarrow.ipc.open_stream(io.BytesIO(data)).read_all()
    assert table.to_pydict() == {
        "when": [pandas.Timestamp("2026-01-01", tz="UTC"), None],
        "kind": ["a", "b"],
    }


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-4],
        lambda data: data.replace(b"pandas.DataFrame", b"pandas.DateFrame"),
        lambda data: data.replace(b'"range": [0, 4, 1]', b'"range": [0, 5, 1]'),
        lambda data: data.replace(b'"is": "range"', b'"is": "wrong"'),
        lambda data: data.replace(b'"dtype": "<f8"', b'"dtype": "<f9"'),
        lambda data: data.replace(b'"columns": [{', b'"columns": [1,{'),
        lambda data: b"",
    ],
)
def test_invalid_bytes_are_an_error(damage: Callable[[bytes], bytes]) -> None:
    data = b"".join(CODEC.encode(FRAME).chunks())
    assert damage(data) != data
    with pytest.raises((ValueError, OSError, KeyError, TypeError)):
        CODEC.decode(memoryview(bytearray(damage(data))))


@pytest.mark.contract
def test_without_pyarrow_a_frame_is_pickled() -> None:
    program = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "import pandas\n"
        "from flowyml_aws.artifacts.codecs.selection import choose_codec\n"
        "print(choose_codec(pandas.DataFrame({'a': [1]})).name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == "pickle\n", done.stderr
