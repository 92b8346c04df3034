from __future__ import annotations

import enum
import json
import math
import struct
from collections import OrderedDict
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws.artifacts.codecs.plain import BytesCodec, JsonCodec, TextCodec
from tests.artifacts.roundtrip import codec_name, identical, round_trip

# All code points, including lone surrogates.
strings = st.text(st.characters(exclude_categories=()))
scalars = st.none() | st.booleans() | st.integers() | st.floats() | strings
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(strings, inner), max_leaves=20
)


@given(values)
def test_a_value_that_json_accepts_is_restored_exactly(value: Any) -> None:
    if JsonCodec().accepts(value):
        assert identical(round_trip(JsonCodec(), value), value)


@given(strings)
def test_every_string_is_restored(string: str) -> None:
    assert round_trip(TextCodec(), string) == string


@given(st.binary())
def test_all_bytes_are_restored(data: bytes) -> None:
    assert round_trip(BytesCodec(), data) == data


@pytest.mark.parametrize(
    ("value", "codec"),
    [
        (None, "json"),
        (True, "json"),
        (-(2**70), "json"),
        (-0.0, "json"),
        (math.nan, "json"),
        (-math.inf, "json"),
        ({"accuracy": 0.97, "losses": [1.0, 0.5], "nested": {"a": None}}, "json"),
        ([], "json"),
        ("text", "text"),
        ("\ud83d\ude00", "text"),
        (b"bytes", "bytes"),
    ],
)
def test_plain_values_are_not_pickled(value: Any, codec: str) -> None:
    assert codec_name(value) == codec


class Text(str):
    pass


class Number(int):
    pass


class Colour(enum.IntEnum):
    RED = 1


SHARED: list[int] = [1]
CYCLE: list[Any] = []
CYCLE.append(CYCLE)
DEEP: list[Any] = []
for _ in range(500):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "value",
    [
        (1, 2),
        [(1, 2)],
        {1: "an integer as key"},
        {Text("a"): 1},
        {None: 1},
        Text("a"),
        [Text("a")],
        Number(1),
        [Colour.RED],
        OrderedDict(a=1),
        {1, 2},
        bytearray(b"a"),
        [b"bytes"],
        [numpy.float64(1)],
        1 + 2j,
        10**5000,
        [SHARED, SHARED],
        list(range(200_000)),
        ["x" * 20_000_000],
        struct.unpack("<d", struct.pack("<Q", 0xFFF8000000000001))[0],
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_that_json_would_change_or_bloat_is_pickled(value: Any) -> None:
    assert codec_name(value) == "pickle"


@pytest.mark.parametrize("value", [CYCLE, DEEP], ids=["cycle", "deep"])
def test_json_refuses_cycles_and_deep_nesting(value: Any) -> None:
    assert not JsonCodec().accepts(value)


def test_stored_json_is_readable_by_other_programs() -> None:
    data = b"".join(JsonCodec().encode({"ü": [1, 2.5, None]}).chunks())
    assert json.loads(data) == {"ü": [1, 2.5, None]}
