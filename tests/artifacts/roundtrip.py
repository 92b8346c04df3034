"""Values through their codec, in memory, and whether they come back exactly."""

from __future__ import annotations

import struct
from typing import Any

from flowyml_aws.artifacts.codecs.codec import Codec
from flowyml_aws.artifacts.codecs.selection import choose_codec


def stored(codec: Codec, value: Any) -> memoryview:
    """The codec's bytes, in memory as after loading."""
    return memoryview(bytearray(b"".join(codec.encode(value).chunks())))


def through(codec: Codec, value: Any) -> Any:
    """What the codec makes of its own bytes."""
    return codec.decode(stored(codec, value))


def chosen(value: Any) -> str:
    """Name of the codec that a value gets."""
    return choose_codec(value).name


def identical(one: Any, other: Any) -> bool:
    """Equal in types, order and bits, which `==` is not."""
    if type(one) is not type(other):
        return False
    if type(one) is float:
        return struct.pack("<d", one) == struct.pack("<d", other)
    if type(one) is dict:
        return identical(list(one), list(other)) and identical(
            list(one.values()), list(other.values())
        )
    if type(one) in (list, tuple):
        return len(one) == len(other) and all(map(identical, one, other))
    return bool(one == other)
