"""Stored tables, of which rows and columns are read by range."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from flowyml_aws.artifacts.codecs.arrow import (
    BATCHES,
    Description,
    split_metadata,
    write_stream,
)
from flowyml_aws.artifacts.codecs.arrow_messages import (
    BATCH,
    DICTIONARY,
    SCHEMA,
    StreamMessage,
    read_message,
)
from flowyml_aws.artifacts.codecs.arrow_ranges import fill_rows
from flowyml_aws.artifacts.codecs.codec import Codec
from flowyml_aws.artifacts.codecs.pandas_frames import describe_piece, labels_in
from flowyml_aws.artifacts.lazy.memory import in_memory
from flowyml_aws.artifacts.lazy.pieces import positions_of, rows_of_slice, unsupported
from flowyml_aws.artifacts.parallel import PART_SLOTS
from flowyml_aws.artifacts.verified_bytes import VerifiedBytes
from flowyml_aws.core.concurrency import map_concurrently

if TYPE_CHECKING:
    import pyarrow

__all__ = ["StoredFrame", "StoredTable"]

_END = b"\xff\xff\xff\xff\0\0\0\0"  # of a stream
_NO_RESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)  # memory that is not used needs no room


@dataclass(frozen=True, slots=True)
class _Batch:
    """A record batch of a stream.

    Attributes:
        first_row: Number of its first row in the table.
        rows: Number of its rows.
        start: Offset of its first message, which may be a dictionary.
    """

    first_row: int
    rows: int
    start: int


class StoredTable:
    """Rows and columns of a table of pyarrow or polars, which is stored as an Arrow IPC stream.

    Each column of some rows is in another block. The blocks of the rows that were read last are
    kept for the next ones.

    Args:
        data: Bytes of the stream, which keep the blocks of a turn.
        codec: Codec that decodes a stream.
    """

    def __init__(self, data: VerifiedBytes, codec: Codec) -> None:
        self._data, self._codec = data, codec
        self._found: dict[int, tuple[Sequence[StreamMessage], StreamMessage]] = {}

    def length(self) -> int:
        """Return the number of rows."""
        last = self._batches[-1]
        return last.first_row + last.rows

    def get(self, key: Any) -> Any:
        """Return the rows of a slice."""
        return self._piece(None, rows_of_slice(self._kind, key, self.length()))

    def columns(self, labels: Sequence[Any]) -> Any:
        """Return all rows of some columns."""
        if self._is_series:
            raise unsupported(self._kind, "columns")
        return self._piece(self._positions(labels), range(self.length()))

    def fact(self, name: str) -> Any:
        """Return the shape, the data type or the schema."""
        fact = in_memory(self._empty).fact(name)
        return (self.length(), *fact[1:]) if name == "shape" else fact

    def _positions(self, labels: Sequence[Any]) -> list[int]:
        known = self._schema.names
        return positions_of(
            labels, lambda label: [at for at, name in enumerate(known) if name == label], known
        )

    def _described(
        self, columns: Sequence[int] | None, rows: range
    ) -> tuple[Description, Sequence[int]]:
        """Return the description of a piece, and the numbers of its columns in the stream."""
        return self._description, range(len(self._schema)) if columns is None else columns

    def _piece(self, columns: Sequence[int] | None, rows: range) -> Any:
        """Return some columns of consecutive rows as a new value."""
        import pyarrow

        description, numbers = self._described(columns, rows)
        metadata, _ = split_metadata(self._schema)
        schema = pyarrow.schema([self._schema.field(at) for at in numbers], metadata)
        batches = []
        for number, batch in enumerate(self._batches):
            start = max(rows.start, batch.first_row)
            stop = min(rows.stop, batch.first_row + batch.rows)
            if start < stop or (not rows and not number):
                local = range(start - batch.first_row, max(start, stop) - batch.first_row)
                batches.append(self._read_batch(number, numbers, local, schema))
        table = pyarrow.Table.from_batches(batches, schema)
        description = {key: each for key, each in description.items() if key != BATCHES}
        return self._codec.decode(memoryview(bytearray().join(write_stream(table, description))))

    def _read_batch(
        self, number: int, columns: Sequence[int], rows: range, schema: pyarrow.Schema
    ) -> pyarrow.RecordBatch:
        """Return some rows of a batch. Only their bytes are read."""
        import pyarrow

        if number not in self._found:
            self._found[number] = self._messages(number)
        dictionaries, message = self._found[number]
        self._data.begin_turn()
        whole = [self._schema_message, *dictionaries]
        size = sum(each.end - each.start for each in (*whole, message))
        memory = _Sparse(size + len(_END))
        offset = 0
        for each in whole:
            memory.fill(offset, self._data.read(each.start, each.end))
            offset += each.end - each.start
        memory.fill(offset, self._data.read(message.start, message.body))
        memory.fill(size, memoryview(_END))
        body = offset + message.body - message.start

        def fill(address: int, count: int) -> None:
            place = address - memory.address
            if not body <= place <= place + count <= size:
                raise ValueError("a buffer is outside of its batch")
            start = message.body + place - body
            memory.fill(place, self._data.read(start, start + count))

        with pyarrow.ipc.open_stream(pyarrow.BufferReader(memory.buffer)) as reader:
            batch = reader.read_next_batch()
        arrays = map_concurrently(
            lambda at: _rows_of(batch.column(at), rows, fill), columns, limit=PART_SLOTS.count
        )
        return pyarrow.RecordBatch.from_arrays(arrays, schema=schema)

    def _messages(self, number: int) -> tuple[Sequence[StreamMessage], StreamMessage]:
        """Return the dictionaries that a batch needs, and its own message."""
        dictionaries = []
        first = 0 if self._has_dictionaries else number
        for message in self._walk(self._batches[first].start):
            if message.kind == DICTIONARY:
                dictionaries.append(message)
            elif first == number:
                return dictionaries, message
            else:
                first += 1
        raise ValueError(f"the stream has no batch {number}")

    def _walk(self, start: int) -> Iterator[StreamMessage]:
        """Yield the messages from an offset."""
        while (message := read_message(self._data.read, start)) is not None:
            if message.kind not in (BATCH, DICTIONARY) or message.end > self._data.size_bytes:
                raise ValueError(f"unexpected message at byte {start}")
            yield message
            self._data.begin_turn()
            start = message.end

    @cached_property
    def _schema_message(self) -> StreamMessage:
        message = read_message(self._data.read, 0)
        if message is None or message.kind != SCHEMA:
            raise ValueError("the stream does not begin with a schema")
        return message

    @cached_property
    def _schema(self) -> pyarrow.Schema:
        import pyarrow

        message = self._schema_message
        data = self._data.read(message.start, message.end)
        return pyarrow.ipc.read_schema(pyarrow.py_buffer(data))

    @cached_property
    def _has_dictionaries(self) -> bool:
        return any(map(_has_dictionary, self._schema.types))

    @cached_property
    def _description(self) -> Description:
        return split_metadata(self._schema)[1]

    @cached_property
    def _batches(self) -> Sequence[_Batch]:
        start, first_row = self._schema_message.end, 0
        batches = []
        if BATCHES in self._description:
            for rows, size in self._description[BATCHES]:
                batches.append(_Batch(first_row, rows, start))
                start, first_row = start + size, first_row + rows
            return batches
        for message in self._walk(start):  # also of several batches, of earlier versions
            if message.kind == BATCH:
                batches.append(_Batch(first_row, message.rows, start))
                start, first_row = message.end, first_row + message.rows
        return batches

    @cached_property
    def _empty(self) -> Any:
        return self._piece(None, range(0))

    @property
    def _kind(self) -> str:
        return str(self._description["kind"]).rpartition(".")[2]

    @property
    def _is_series(self) -> bool:
        return self._kind == "Series"


class StoredFrame(StoredTable):
    """Rows and columns of a frame or series of pandas. The index is part of every piece."""

    def _positions(self, labels: Sequence[Any]) -> list[int]:
        known = labels_in(self._description)
        return positions_of(
            labels, lambda label: [at for at in known.get_indexer_for([label]) if at >= 0], known
        )

    def _described(
        self, columns: Sequence[int] | None, rows: range
    ) -> tuple[Description, Sequence[int]]:
        count = len(self._description["columns"])
        levels = range(count, len(self._schema))
        numbers = [*(range(count) if columns is None else columns), *levels]
        return describe_piece(self._description, columns, rows), numbers


class _Sparse:
    """Memory that is filled in places. Pages that are not filled are zero, and take no memory.

    Raises:
        MemoryError: There are not enough addresses.
    """

    def __init__(self, size: int) -> None:
        import pyarrow

        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE
        try:
            self._memory = memoryview(mmap.mmap(-1, size, flags=flags))
        except OSError as error:
            raise MemoryError(f"{size} bytes") from error
        self.buffer = pyarrow.py_buffer(self._memory)
        self.address: int = self.buffer.address

    def fill(self, place: int, data: memoryview) -> None:
        self._memory[place : place + len(data)] = data


def _rows_of(array: pyarrow.Array, rows: range, fill: Callable[[int, int], None]) -> pyarrow.Array:
    import pyarrow

    fill_rows(array, rows.start, len(rows), fill)
    found = array.slice(rows.start, len(rows))
    found.validate(full=True)  # Arrow trusts offsets, and a wrong one would read other memory
    if pyarrow.types.is_string_view(found.type):
        # A view is written with all of its buffers, of which the other strings are not read.
        return found.cast(pyarrow.large_string()).cast(found.type)
    if pyarrow.types.is_binary_view(found.type):
        return found.cast(pyarrow.large_binary()).cast(found.type)
    return found


def _has_dictionary(kind: pyarrow.DataType) -> bool:
    import pyarrow

    inner = (kind.field(number).type for number in range(kind.num_fields))
    return pyarrow.types.is_dictionary(kind) or any(map(_has_dictionary, inner))
