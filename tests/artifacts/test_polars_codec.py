from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy
import polars
import pytest
from hypothesis import given
from polars.testing import assert_frame_equal, assert_series_equal
from polars.testing.parametric import dataframes

from flowyml_aws.artifacts.codecs.polars_frames import PolarsCodec
from tests.artifacts.roundtrip import codec_name, encoded, round_trip
from tests.support.effort import examples

CODEC = PolarsCodec()

FRAME = polars.DataFrame(
    {
        "number": [1, None],
        "text": ["a", "a longer text than fits into a view"],
        "category": polars.Series(["x", "y"], dtype=polars.Categorical),
        "enum": polars.Series(["b", None], dtype=polars.Enum(["a", "b"])),
        "when": polars.Series([1, None], dtype=polars.Datetime("us", "Europe/Berlin")),
        "money": polars.Series([1, 2], dtype=polars.Decimal(10, 2)),
        "nested": [{"a": [1, None]}, {"a": []}],
        "pair": polars.Series([[1, 2], [3, 4]], dtype=polars.Array(polars.Int8, 2)),
        "nothing": [None, None],
    }
)


@examples(40)
@given(dataframes(max_cols=4, max_size=5))
def test_every_frame_is_restored_exactly(frame: polars.DataFrame) -> None:
    if CODEC.accepts(frame):
        loaded = round_trip(CODEC, frame)
        assert loaded.schema == frame.schema
        assert_frame_equal(loaded, frame, check_exact=True)


@pytest.mark.parametrize(
    "frame",
    [
        FRAME,
        FRAME[:0],
        FRAME[1:],
        polars.concat([FRAME, FRAME], rechunk=False),
        polars.DataFrame(),
        polars.DataFrame(schema={"a": polars.Int8, "c": polars.Categorical}),
    ],
    ids=lambda frame: str(frame.shape),
)
def test_a_frame_keeps_its_types(frame: polars.DataFrame) -> None:
    assert codec_name(frame) == "polars"
    loaded = round_trip(CODEC, frame)
    assert loaded.schema == frame.schema
    assert_frame_equal(loaded, frame, check_exact=True)


@pytest.mark.parametrize("name", FRAME.columns)
def test_a_series_keeps_its_name(name: str) -> None:
    assert codec_name(FRAME[name]) == "polars"
    assert_series_equal(round_trip(CODEC, FRAME[name]), FRAME[name], check_exact=True)


def test_storing_does_not_copy_a_frame() -> None:
    frame = polars.DataFrame({"a": numpy.arange(100_000.0)})
    pieces: list[Any] = list(CODEC.encode(frame).chunks())
    (piece,) = (piece for piece in pieces if piece.nbytes > 10_000)
    column = frame["a"].to_numpy(allow_copy=False)
    assert numpy.shares_memory(numpy.frombuffer(piece, numpy.uint8), column)


def test_a_decoded_frame_is_a_view_of_the_loaded_memory() -> None:
    data = encoded(CODEC, polars.DataFrame({"a": numpy.arange(1000.0)}))
    loaded = CODEC.decode(data)["a"].to_numpy(allow_copy=False)
    assert numpy.shares_memory(loaded, numpy.frombuffer(data, numpy.uint8))


def test_polars_can_read_a_stored_frame() -> None:
    data = b"".join(CODEC.encode(FRAME).chunks())
    assert_frame_equal(polars.read_ipc_stream(io.BytesIO(data)), FRAME)


@pytest.mark.parametrize(
    "value",
    [
        polars.DataFrame({"a": polars.Series([object()], dtype=polars.Object)}),
        polars.DataFrame({"a": polars.Series([1], dtype=polars.Int128)}),
        polars.DataFrame({"a": polars.Series([[1]], dtype=polars.List(polars.Int128))}),
        polars.DataFrame(
            {"a": polars.Series([{"b": 1}], dtype=polars.Struct({"b": polars.Int128}))}
        ),
        polars.Series("a", [[], []], dtype=polars.Array(polars.Int8, 0)),
        FRAME.lazy(),
    ],
    ids=["object", "128 bits", "128 bits in a list", "128 bits in a struct", "width 0", "lazy"],
)
def test_a_value_that_arrow_does_not_support_is_pickled(value: Any) -> None:
    assert codec_name(value) == "pickle"


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-4],
        lambda data: data.replace(b"polars.DataFrame", b"pandas.DataFrame"),
        lambda data: b"",
    ],
)
def test_invalid_bytes_are_an_error(damage: Callable[[bytes], bytes]) -> None:
    data = b"".join(CODEC.encode(FRAME).chunks())
    with pytest.raises((ValueError, OSError)):
        CODEC.decode(memoryview(bytearray(damage(data))))
