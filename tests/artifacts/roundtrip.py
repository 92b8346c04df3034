"""Encoding and decoding in memory, and exact comparison of values."""

from __future__ import annotations

import struct
from typing import Any

from flowyml_aws.artifacts.codecs.codec import Codec
from flowyml_aws.artifacts.codecs.selection import choose_codec


def encoded(codec: Codec, value: Any) -> memoryview:
    """Return the codec's bytes in writable memory, as after loading."""
    return memoryview(bytearray(b"".join(codec.encode(value).chunks())))


def round_trip(codec: Codec, value: Any) -> Any:
    """Encode and decode a value."""
    return codec.decode(encoded(codec, value))


def codec_name(value: Any) -> str:
    """Return the name of the codec that is chosen for a value."""
    return choose_codec(value).name


def identical(first: Any, second: Any) -> bool:
    """Compare types, order and bits, which `==` does not."""
    if type(first) is not type(second):
        return False
    if type(first) is float:
        return struct.pack("<d", first) == struct.pack("<d", second)
    if type(first) is dict:
        return identical(list(first), list(second)) and identical(
            list(first.values()), list(second.values())
        )
    if type(first) in (list, tuple):
        return len(first) == len(second) and all(map(identical, first, second))
    return bool(first == second)
