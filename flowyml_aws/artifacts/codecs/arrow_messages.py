"""Positions and sizes of the messages of an Arrow IPC stream, without their bodies.

Source: Apache Arrow, "Columnar Format", "Encapsulated message format"; `format/Message.fbs` and
`format/Schema.fbs`; FlatBuffers, "Internals".
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["BATCH", "DICTIONARY", "SCHEMA", "StreamMessage", "read_message"]

SCHEMA, DICTIONARY, BATCH = 1, 2, 3
"""Kinds of messages: values of `MessageHeader`."""

_PREFIX = struct.Struct("<Ii")
_CONTINUATION = 0xFFFFFFFF
_KIND, _HEADER, _BODY_LENGTH = 1, 2, 3  # fields of `Message`
_LENGTH = 0  # field of `RecordBatch`


@dataclass(frozen=True, slots=True)
class StreamMessage:
    """A message of a stream.

    Attributes:
        kind: `SCHEMA`, `DICTIONARY` or `BATCH`.
        rows: Number of rows of a batch; 0 for another message.
        start: Offset of the message in the stream.
        body: Offset of its body.
        end: Offset of the next message.
    """

    kind: int
    rows: int
    start: int
    body: int
    end: int


def read_message(read: Callable[[int, int], memoryview], start: int) -> StreamMessage | None:
    """Return the message at an offset; None at the end of the stream.

    Args:
        read: Returns the bytes of a range of the stream.
        start: Offset of the message.

    Raises:
        ValueError: There is no message.
    """
    prefix = read(start, start + _PREFIX.size)
    continuation, size = _PREFIX.unpack(prefix)
    if continuation != _CONTINUATION or size < 0:
        raise ValueError(f"no message at byte {start}")
    if size == 0:
        return None
    body = start + _PREFIX.size + size
    data = bytes(read(start + _PREFIX.size, body))
    try:
        message = _number(data, 0, "<I")
        kind = _field(data, message, _KIND, "<B")
        length = _field(data, message, _BODY_LENGTH, "<q")
        rows = 0
        if kind == BATCH:
            at = _place(data, message, _HEADER)
            rows = 0 if at is None else _field(data, at + _number(data, at, "<I"), _LENGTH, "<q")
    except struct.error as error:
        raise ValueError(f"invalid metadata of the message at byte {start}") from error
    if length < 0 or rows < 0:
        raise ValueError(f"the message at byte {start} has a negative size")
    return StreamMessage(kind, rows, start, body, body + length)


def _field(data: bytes, table: int, number: int, kind: str) -> int:
    """Return an integer of a table; 0 if it has its default."""
    place = _place(data, table, number)
    return 0 if place is None else _number(data, place, kind)


def _place(data: bytes, table: int, number: int) -> int | None:
    """Return the place of a field of a table; None if it has its default."""
    fields = table - _number(data, table, "<i")
    entry = 4 + 2 * number
    offset = _number(data, fields + entry, "<H") if entry < _number(data, fields, "<H") else 0
    return table + offset if offset else None


def _number(data: bytes, place: int, kind: str) -> int:
    if place < 0:
        raise struct.error("a place before the start")
    (number,) = struct.unpack_from(kind, data, place)
    return int(number)
