"""Codecs for plain Python values. Decoding runs no code."""

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
_encode_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class BytesCodec:
    """Codec for `bytes`, stored as they are."""

    name = "bytes"
    version = 1

    def accepts(self, value: Any) -> bool:
        """Return whether the type is exactly `bytes`. Other types would be decoded to `bytes`."""
        return type(value) is bytes

    def encode(self, value: Any) -> Content:
        """Return a view of the bytes."""
        return Content(value)

    def decode(self, data: memoryview) -> bytes:
        """Return a copy. `load_value` reads bytes without this copy."""
        return bytes(data)


class TextCodec:
    """Codec for `str`, including lone surrogates, in UTF-8."""

    name = "text"
    version = 1

    def accepts(self, value: Any) -> bool:
        """Return whether the type is exactly `str`."""
        return type(value) is str

    def encode(self, value: Any) -> Content:
        """Return UTF-8 in which each lone surrogate is a separate sequence of three bytes."""
        return Content(_to_utf8(value))

    def decode(self, data: memoryview) -> str:
        """Return the string."""
        return _from_utf8(data)


class JsonCodec:
    """Codec for None, bool, int, float, str, and lists and dicts of them.

    `NaN`, `Infinity` and `-Infinity` are written as Python's `json` does, beyond RFC 8259.
    """

    name = "json"
    version = 1

    def accepts(self, value: Any) -> bool:
        """Return whether JSON preserves this value exactly, at a reasonable size.

        Only exact types are accepted: JSON would turn a tuple into a list, and a numpy or enum
        number into a plain one. An object must not occur twice: it would become two objects.
        """
        if type(value) in (int, float):
            return _is_exact_scalar(value, type(value))
        seen: set[int] = set()
        left = _MAX_ITEMS
        pending = [(value, 0)]
        while pending:
            item, depth = pending.pop()
            kind = type(item)
            if kind is str:
                left -= len(item) >> 6  # long strings count, too: they are copied several times
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
        """Return compact JSON. The order of keys is part of the value and is kept."""
        return Content(_to_utf8(_encode_json(value)))

    def decode(self, data: memoryview) -> Any:
        """Return the value."""
        return json.loads(_from_utf8(data))


def _is_exact_scalar(item: Any, kind: type) -> bool:
    if kind is int:
        return bool(item.bit_length() <= _MAX_INT_BITS)
    if kind is float:
        # "NaN" represents only one of many NaNs: one with a sign or payload is a different value.
        return bool(item == item) or struct.pack("<d", item) == _NAN
    return item is None or kind is bool


def _to_utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _from_utf8(data: memoryview) -> str:
    return str(data, "utf-8", "surrogatepass")
