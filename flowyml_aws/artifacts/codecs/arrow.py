"""Arrow's IPC stream around buffers that nobody copies, and the codec for Arrow's own tables.

The stored object is a plain IPC stream: whatever reads Arrow (pyarrow, polars, DuckDB, R) reads
it. What a codec needs beyond that stands in the schema's metadata under `_METADATA`.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

from flowyml_aws.artifacts.content import Content

if TYPE_CHECKING:
    import pyarrow

__all__ = ["ArrowCodec", "has_pyarrow", "is_plain_type", "is_second", "read_stream", "write_stream"]

_METADATA = b"flowyml_aws"

_KINDS = ("pyarrow.Table", "pyarrow.RecordBatch")


class ArrowCodec:
    """`pyarrow.Table` and `pyarrow.RecordBatch`, with their schema's metadata.

    Chunks may come back divided otherwise; tables compare without regard to that.
    """

    name = "arrow"
    version = 1

    def accepts(self, value: Any) -> bool:
        """Whether it is a table whose types every reader knows."""
        pyarrow = sys.modules.get("pyarrow")
        if pyarrow is None or type(value) not in (pyarrow.Table, pyarrow.RecordBatch):
            return False
        schema = value.schema
        if value.num_rows and not value.num_columns:
            return False  # a stream knows no rows without columns
        return _METADATA not in (schema.metadata or {}) and all(map(is_plain_type, schema.types))

    def encode(self, value: Any) -> Content:
        """The table's own buffers, in a stream."""
        import pyarrow

        alone = isinstance(value, pyarrow.RecordBatch)
        table = pyarrow.Table.from_batches([value]) if alone else value
        return Content(*write_stream(table, {"kind": _KINDS[alone]}))

    def decode(self, data: memoryview) -> Any:
        """A table whose buffers are the loaded memory itself."""
        table, described = read_stream(data)
        if not is_second(described, _KINDS):
            return table
        (batch,) = table.to_batches() or [_empty_batch(table)]
        return batch


@cache
def has_pyarrow() -> bool:
    """Whether pyarrow is installed, found out without importing it."""
    return importlib.util.find_spec("pyarrow") is not None


def is_plain_type(kind: pyarrow.DataType) -> bool:
    """Whether a type means the same to every reader: no extension of some package is in it."""
    import pyarrow

    if isinstance(kind, pyarrow.BaseExtensionType):
        return False
    inner = [kind.field(number).type for number in range(kind.num_fields)]
    if pyarrow.types.is_dictionary(kind):
        inner.append(kind.value_type)
    return all(map(is_plain_type, inner))


def write_stream(table: pyarrow.Table, described: dict[str, Any]) -> list[Any]:
    """An IPC stream in pieces, the large ones being the table's own buffers.

    Args:
        table: What it holds.
        described: JSON that `read_stream` gives back.
    """
    import pyarrow

    metadata = {**(table.schema.metadata or {}), _METADATA: json.dumps(described).encode()}
    sink = _Pieces()
    with (
        pyarrow.PythonFile(sink, mode="w") as file,
        pyarrow.ipc.new_stream(file, table.schema.with_metadata(metadata)) as writer,
    ):
        # Without a batch there would be no dictionaries: categories of an empty column.
        for batch in table.to_batches() or [_empty_batch(table)]:
            writer.write_batch(batch.replace_schema_metadata(metadata))
    return sink.pieces


def is_second(described: dict[str, Any], kinds: tuple[str, str]) -> bool:
    """Which of two kinds of values a stream describes.

    Raises:
        ValueError: Neither.
    """
    if described["kind"] not in kinds:
        raise ValueError(f"it is a {described['kind']} and no {' or '.join(kinds)}")
    return bool(described["kind"] == kinds[1])


def read_stream(data: memoryview) -> tuple[pyarrow.Table, dict[str, Any]]:
    """A table over these bytes, and what its writer described.

    Everything is validated: Arrow trusts offsets, and a wrong one would read other memory.

    Raises:
        ValueError: They are no such stream.
    """
    import pyarrow

    source = pyarrow.BufferReader(pyarrow.py_buffer(data))
    with pyarrow.ipc.open_stream(source) as reader:
        table = reader.read_all()
    if source.tell() != len(data):
        raise ValueError(f"the stream ends at byte {source.tell()} of {len(data)}")
    table.validate(full=True)
    metadata = dict(table.schema.metadata or {})
    if _METADATA not in metadata:
        raise ValueError("the stream was written by something else")
    described = json.loads(metadata.pop(_METADATA))
    return table.replace_schema_metadata(metadata or None), described


def _empty_batch(table: pyarrow.Table) -> pyarrow.RecordBatch:
    import pyarrow

    columns = [
        column.chunk(0) if column.num_chunks else pyarrow.nulls(0, column.type)
        for column in table.columns
    ]
    return pyarrow.RecordBatch.from_arrays(columns, schema=table.schema)


class _Pieces:
    """What an IPC writer writes: it hands over whole buffers as they are."""

    closed = False

    def __init__(self) -> None:
        self.pieces: list[Any] = []

    def write(self, piece: Any) -> int:
        self.pieces.append(piece)
        return len(piece)

    def flush(self) -> None:
        """All is handed over already."""

    def close(self) -> None:
        """Nothing is held open."""
