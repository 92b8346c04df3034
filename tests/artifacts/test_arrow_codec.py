from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy
import pyarrow
import pytest

from flowyml_aws.artifacts.codecs.arrow import ArrowCodec, write_stream
from tests.artifacts.roundtrip import codec_name, encoded, round_trip

CODEC = ArrowCodec()

TABLE = pyarrow.table(
    {
        "number": [1, None, 3],
        "text": ["a", "", None],
        "time": pyarrow.array([1, 2, None], pyarrow.timestamp("us", "Europe/Berlin")),
        "list": [[1], [], None],
        "struct": [{"a": 1, "b": "x"}, None, {"a": None, "b": "y"}],
        "category": pyarrow.array(["x", "y", "x"]).dictionary_encode(),
        "decimal": pyarrow.array([None, None, 1], pyarrow.decimal128(10, 2)),
        "view": pyarrow.array(["longer than twelve bytes", "b", None], pyarrow.string_view()),
    },
    metadata={"unit": "mm"},
)


@pytest.mark.parametrize(
    "table",
    [
        TABLE,
        TABLE[:0],
        TABLE[1:2],
        pyarrow.table({}),
        TABLE.schema.empty_table(),
        pyarrow.concat_tables([TABLE, TABLE[2:]]),
        TABLE.replace_schema_metadata(None),
        TABLE.to_batches()[0],
        TABLE.to_batches()[0][:0],
        pyarrow.table(
            [[1]], pyarrow.schema([pyarrow.field("a", "int8", False, metadata={"field": "own"})])
        ),
        pyarrow.table([[1], [2]], ["same", "same"]),
    ],
    ids=lambda table: f"{type(table).__name__} {table.shape}",
)
def test_a_table_keeps_its_types_and_metadata(table: Any) -> None:
    assert codec_name(table) == "arrow"
    loaded = round_trip(CODEC, table)
    assert type(loaded) is type(table)
    assert loaded.schema.equals(table.schema, check_metadata=True)
    assert loaded.equals(table, check_metadata=True)
    assert loaded.num_rows == table.num_rows


def test_chunks_with_different_categories_are_restored() -> None:
    parts = [pyarrow.array(names).dictionary_encode() for names in (["a", "b"], ["b", "c"])]
    table = pyarrow.table({"category": pyarrow.chunked_array(parts), "number": [1, 2, 3, 4]})
    assert round_trip(CODEC, table).to_pydict() == table.to_pydict()


def test_storing_and_loading_do_not_copy_a_table() -> None:
    numbers = numpy.arange(100_000.0)
    table = pyarrow.table({"a": numbers})
    pieces: list[Any] = list(CODEC.encode(table).chunks())
    (piece,) = (piece for piece in pieces if piece.nbytes > 10_000)
    assert numpy.shares_memory(numpy.frombuffer(piece, numpy.uint8), numbers)
    data = encoded(CODEC, table)
    memory = numpy.frombuffer(data, numpy.uint8)
    assert numpy.shares_memory(CODEC.decode(data)["a"].chunk(0).to_numpy(), memory)


def test_a_stored_table_is_an_arrow_stream_for_any_reader() -> None:
    data = b"".join(CODEC.encode(TABLE).chunks())
    assert pyarrow.ipc.open_stream(io.BytesIO(data)).read_all().equals(TABLE)


class Celsius(pyarrow.ExtensionType):  # type: ignore[misc]  # pyarrow ships no types
    def __init__(self) -> None:
        super().__init__(pyarrow.float64(), "test.celsius")

    def __arrow_ext_serialize__(self) -> bytes:
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, *_: Any) -> Celsius:
        return cls()


@pytest.mark.parametrize("wrap", [lambda kind: kind, pyarrow.list_], ids=["column", "list"])
def test_extension_types_are_pickled(wrap: Callable[[Any], Any]) -> None:
    assert codec_name(pyarrow.table({"t": pyarrow.nulls(2, wrap(Celsius()))})) == "pickle"


def _wrong_offset(data: bytes) -> bytes:
    offsets = numpy.array([0, 1, 1, 1], "i4").tobytes()
    assert data.count(offsets) == 1
    return data.replace(offsets, numpy.array([0, 2**30, 1, 1], "i4").tobytes())


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-4],
        lambda data: data[: len(data) // 2],
        lambda data: data + b"\0" * 8,
        lambda data: b"",
        lambda data: data.replace(b"pyarrow.Table", b"pyarrow.Cable"),
        lambda data: data.replace(b"flowyml_aws", b"flowyml_sws"),
        _wrong_offset,
    ],
)
def test_invalid_bytes_are_an_error(damage: Callable[[bytes], bytes]) -> None:
    data = b"".join(CODEC.encode(TABLE.select(["text"])).chunks())
    with pytest.raises((ValueError, OSError)):
        CODEC.decode(memoryview(bytearray(damage(data))))


def test_several_batches_are_not_decoded_as_one_batch() -> None:
    several = pyarrow.concat_tables([TABLE, TABLE])
    data = b"".join(map(bytes, write_stream(several, {"kind": "pyarrow.RecordBatch"})))
    with pytest.raises(ValueError, match="too many"):
        CODEC.decode(memoryview(bytearray(data)))


def test_rows_without_columns_are_pickled() -> None:
    assert codec_name(TABLE.select([])) == "pickle"
