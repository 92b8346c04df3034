"""Codecs for Python's plain values. Reading them runs no code."""

from __future__ import annotations

import json
import struct
from typing import Any

from flowyml_aws.artifacts.content import Content

__all__ = ["BytesCodec", "JsonCodec", "TextCodec"]

_MAX_DEPTH = 64
_MAX_ITEMS = 1 << 17
_MAX_INT_BITS = 1024  # Python refuses to read integers of more than 4,300 digits
_NAN = struct.pack("<d", float("nan"))


class BytesCodec:
    """`bytes`, as they are."""

    name = "bytes"
    version = 1

    def accepts(self, value: Any) -> bool:
        """Only `bytes` itself: a subclass or a `bytearray` would come back as something else."""
        return type(value) is bytes

    def encode(self, value: Any) -> Content:
        """A view of them."""
        return Content(value)

    def decode(self, data: memoryview) -> bytes:
        """A copy; `load_value` reads bytes without one."""
        return bytes(data)


class TextCodec:
    """`str` in UTF-8, lone surrogates included."""

    name = "text"
    version = 1

    def accepts(self, value: Any) -> bool:
        """Only `str` itself."""
        return type(value) is str

    def encode(self, value: Any) -> Content:
        """UTF-8 in which each lone surrogate is a three-byte sequence of its own."""
        return Content(_to_utf8(value))

    def decode(self, data: memoryview) -> str:
        """The same text."""
        return _from_utf8(data)


class JsonCodec:
    """None, bool, int, float, str, and lists and dicts of them.

    `NaN`, `Infinity` and `-Infinity` are written as Python's `json` does, beyond RFC 8259.
    """

    name = "json"
    version = 1

    def accepts(self, value: Any) -> bool:
        """Whether JSON gives exactly this value back, and is a reasonable way to write it.

        Exact types only: JSON would return a tuple as a list and a numpy or enum number as a
        plain one. Nothing twice: two names of one list would become two lists.
        """
        seen: set[int] = set()
        left = _MAX_ITEMS
        pending = [(value, 0)]
        while pending:
            item, depth = pending.pop()
            kind = type(item)
            if kind is str:
                left -= len(item) >> 6  # long texts count too: they are copied several times
            elif kind is dict or kind is list:
                left -= len(item)
                if id(item) in seen or depth == _MAX_DEPTH or left < 0:
                    return False
                seen.add(id(item))
                if kind is dict:
                    if not all(type(key) is str for key in item):
                        return False
                    item = item.values()
                pending.extend((inner, depth + 1) for inner in item)
            elif not _is_exact_scalar(item, kind):
                return False
        return left >= 0

    def encode(self, value: Any) -> Content:
        """Compact JSON; the order of keys is part of the value and stays."""
        return Content(_to_utf8(json.dumps(value, ensure_ascii=False, separators=(",", ":"))))

    def decode(self, data: memoryview) -> Any:
        """The same value."""
        return json.loads(_from_utf8(data))


def _is_exact_scalar(item: Any, kind: type) -> bool:
    if kind is int:
        return bool(item.bit_length() <= _MAX_INT_BITS)
    if kind is float:
        # The text "NaN" stands for one of many: one with a sign or payload is another value.
        return bool(item == item) or struct.pack("<d", item) == _NAN
    return item is None or kind is bool


def _to_utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _from_utf8(data: memoryview) -> str:
    return str(data, "utf-8", "surrogatepass")
