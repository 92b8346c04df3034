"""Arrow IPC streams without copies of buffers, and the codec for Arrow tables.

The stored object is a plain IPC stream that any Arrow reader supports (pyarrow, polars, DuckDB,
R). Additional data of a codec is in the schema's metadata under `_METADATA`.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

from flowyml_aws.artifacts.content import Content

if TYPE_CHECKING:
    import pyarrow

__all__ = [
    "BATCHES",
    "ArrowCodec",
    "Description",
    "has_pyarrow",
    "is_plain_type",
    "is_second_kind",
    "read_stream",
    "split_metadata",
    "write_stream",
]

Description: TypeAlias = dict[str, Any]

BATCHES = "batches"
"""Key of the rows and sizes of the batches in a description, if there are several batches."""

_METADATA = b"flowyml_aws"

_KINDS = ("pyarrow.Table", "pyarrow.RecordBatch")


class ArrowCodec:
    """Codec for `pyarrow.Table` and `pyarrow.RecordBatch`, with their schema's metadata.

    Chunk boundaries may change; comparisons of tables ignore them.
    """

    name = "arrow"
    version = 1

    def accepts(self, value: Any) -> bool:
        """Return whether the value is a table whose types every reader supports."""
        pyarrow = sys.modules.get("pyarrow")
        if pyarrow is None or type(value) not in (pyarrow.Table, pyarrow.RecordBatch):
            return False
        schema = value.schema
        if value.num_rows and not value.num_columns:
            return False  # a stream can't represent rows without columns
        return _METADATA not in (schema.metadata or {}) and all(map(is_plain_type, schema.types))

    def encode(self, value: Any) -> Content:
        """Return the table's own buffers in a stream."""
        import pyarrow

        is_batch = isinstance(value, pyarrow.RecordBatch)
        table = pyarrow.Table.from_batches([value]) if is_batch else value
        return Content(*write_stream(table, {"kind": _KINDS[is_batch]}))

    def decode(self, data: memoryview) -> Any:
        """Return a table whose buffers are in the loaded memory."""
        table, description = read_stream(data)
        if not is_second_kind(description, _KINDS):
            return table
        (batch,) = table.to_batches() or [_empty_batch(table)]
        return batch


@cache
def has_pyarrow() -> bool:
    """Return whether pyarrow is installed, without importing it."""
    return importlib.util.find_spec("pyarrow") is not None


def is_plain_type(kind: pyarrow.DataType) -> bool:
    """Return whether every reader supports a type: it contains no extension type of a package."""
    import pyarrow

    if isinstance(kind, pyarrow.BaseExtensionType):
        return False
    inner = [kind.field(number).type for number in range(kind.num_fields)]
    if pyarrow.types.is_dictionary(kind):
        inner.append(kind.value_type)
    return all(map(is_plain_type, inner))


def write_stream(table: pyarrow.Table, description: Description) -> list[Any]:
    """Return an IPC stream in pieces. Large pieces are the table's own buffers.

    Args:
        table: Table to write.
        description: JSON value that `read_stream` returns.
    """
    import pyarrow

    batches = table.to_batches()
    if len(batches) > 1:
        return _write_batches(table, batches, description)
    metadata = _with_description(table.schema, description)
    sink = _Pieces()
    with (
        pyarrow.PythonFile(sink, mode="w") as file,
        pyarrow.ipc.new_stream(file, table.schema.with_metadata(metadata)) as writer,
    ):
        # Without a batch, the dictionaries (categories) of an empty column would be lost.
        for batch in batches or [_empty_batch(table)]:
            writer.write_batch(batch.replace_schema_metadata(metadata))
    return sink.pieces


def _write_batches(
    table: pyarrow.Table, batches: Sequence[pyarrow.RecordBatch], description: Description
) -> list[Any]:
    """Return a stream whose description has the rows and the size in bytes of each batch.

    So a batch can be read without the ones before it. The dictionaries that are written before a
    batch are a part of its size.
    """
    import pyarrow

    sink, ends = _Pieces(), []
    with (
        pyarrow.PythonFile(sink, mode="w") as file,
        pyarrow.ipc.new_stream(file, table.schema) as writer,
    ):
        for batch in batches:
            writer.write_batch(batch)
            ends.append(sink.size)
    # The schema comes first, and is written again when the sizes are known.
    end = table.schema.serialize().size
    starts = [end, *ends]
    sizes = [after - before for before, after in pairwise(starts)]
    rows = [batch.num_rows for batch in batches]
    description = {**description, BATCHES: list(zip(rows, sizes, strict=True))}
    schema = table.schema.with_metadata(_with_description(table.schema, description))
    pieces = iter(sink.pieces)
    while end > 0:
        end -= len(next(pieces))
    return [schema.serialize(), *pieces]


def _with_description(schema: pyarrow.Schema, description: Description) -> dict[bytes, bytes]:
    return {**(schema.metadata or {}), _METADATA: json.dumps(description).encode()}


def is_second_kind(description: Description, kinds: tuple[str, str]) -> bool:
    """Return whether a stream contains the second of two kinds of values, and not the first.

    Raises:
        ValueError: The stream contains neither.
    """
    if description["kind"] not in kinds:
        raise ValueError(f"it is a {description['kind']}, expected {' or '.join(kinds)}")
    return bool(description["kind"] == kinds[1])


def read_stream(data: memoryview) -> tuple[pyarrow.Table, Description]:
    """Return a table over the bytes, and the description that `write_stream` added.

    Everything is validated: Arrow trusts offsets, and a wrong one would read other memory.

    Raises:
        ValueError: The bytes are not such a stream.
    """
    import pyarrow

    source = pyarrow.BufferReader(pyarrow.py_buffer(data))
    with pyarrow.ipc.open_stream(source) as reader:
        table = reader.read_all()
    end = source.tell()
    if end != len(data):
        raise ValueError(f"the stream ends at byte {end} of {len(data)}")
    table.validate(full=True)
    metadata, description = split_metadata(table.schema)
    return table.replace_schema_metadata(metadata), description


def split_metadata(schema: pyarrow.Schema) -> tuple[dict[bytes, bytes] | None, Description]:
    """Return the own metadata of a table, and the description that `write_stream` added.

    Raises:
        ValueError: There is no description.
    """
    metadata = dict(schema.metadata or {})
    if _METADATA not in metadata:
        raise ValueError("the stream was not written by flowyml-aws")
    description = json.loads(metadata.pop(_METADATA))
    return metadata or None, description


def _empty_batch(table: pyarrow.Table) -> pyarrow.RecordBatch:
    import pyarrow

    columns = [
        column.chunk(0) if column.num_chunks else pyarrow.nulls(0, column.type)
        for column in table.columns
    ]
    return pyarrow.RecordBatch.from_arrays(columns, schema=table.schema)


class _Pieces:
    """A file that collects the pieces of an IPC writer, which passes whole buffers uncopied."""

    closed = False

    def __init__(self) -> None:
        self.pieces: list[Any] = []
        self.size = 0

    def write(self, piece: Any) -> int:
        self.pieces.append(piece)
        self.size += len(piece)
        return len(piece)

    def flush(self) -> None:
        """Do nothing: every piece is collected when it is written."""

    def close(self) -> None:
        """Do nothing: no file is open."""
