from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from flowyml_aws.artifacts.codecs.arrays import NumpyCodec, NumpyScalarCodec
from tests.artifacts.roundtrip import codec_name, encoded, round_trip

CODEC = NumpyCodec()

dtypes = hnp.scalar_dtypes() | hnp.byte_string_dtypes() | hnp.unicode_string_dtypes()


@st.composite
def arrays(draw: st.DrawFn) -> numpy.ndarray[Any, Any]:
    dtype = draw(dtypes | hnp.array_dtypes(dtypes, max_size=3, allow_subarrays=True))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    size = int(numpy.prod(shape)) * dtype.itemsize
    data = draw(st.binary(min_size=size, max_size=size))
    order = draw(st.sampled_from("CF"))
    # Random bytes as elements: every bit must be preserved, meaningful or not.
    return numpy.ndarray(shape, dtype, buffer=bytearray(data), order=order)


@given(arrays())
def test_every_array_keeps_its_type_shape_order_and_bits(
    array: numpy.ndarray[Any, Any],
) -> None:
    assume(CODEC.accepts(array))
    loaded = round_trip(CODEC, array)
    assert type(loaded) is numpy.ndarray
    assert (loaded.dtype, loaded.shape) == (array.dtype, array.shape)
    assert loaded.tobytes("A") == array.tobytes("A")
    assert loaded.flags.c_contiguous == array.flags.c_contiguous
    assert loaded.flags.f_contiguous == array.flags.f_contiguous


@pytest.mark.parametrize(
    "dtype", ["?", "<i8", ">f4", "<c16", "<f2", "S7", "<U3", "<M8[ns]", "<m8[D]", "V4", "i4,(2,)f8"]
)
def test_arrays_of_these_types_are_not_pickled(dtype: str) -> None:
    assert codec_name(numpy.zeros((2, 3), dtype)) == "numpy"


@pytest.mark.parametrize(
    "array",
    [
        numpy.arange(10)[::2],
        numpy.arange(10)[::-1],
        numpy.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
        numpy.broadcast_to(numpy.float32(7), (3, 4)),
    ],
    ids=["every second", "reversed", "axes swapped", "broadcast"],
)
def test_an_array_that_is_not_contiguous_is_stored_in_c_order(
    array: numpy.ndarray[Any, Any],
) -> None:
    loaded = round_trip(CODEC, array)
    assert loaded.flags.c_contiguous
    assert loaded.dtype == array.dtype
    numpy.testing.assert_array_equal(loaded, array)


@pytest.mark.parametrize("order", ["C", "F"])
def test_storing_an_array_does_not_copy_it(order: Any) -> None:
    array = numpy.ones((100, 50), order=order)
    array.flags.writeable = False
    piece = CODEC.encode(array)._pieces[1]
    assert isinstance(piece, memoryview)
    assert numpy.shares_memory(numpy.frombuffer(piece, numpy.uint8), array)


def test_a_decoded_array_is_a_writable_view_of_the_loaded_memory() -> None:
    data = encoded(CODEC, numpy.arange(100.0))
    loaded = CODEC.decode(data)
    loaded[0] = 42
    assert numpy.shares_memory(loaded, numpy.frombuffer(data, numpy.uint8))


def test_a_stored_array_is_an_npy_file() -> None:
    array = numpy.asfortranarray(numpy.arange(6.0).reshape(2, 3))
    data = b"".join(CODEC.encode(array).chunks())
    numpy.testing.assert_array_equal(numpy.load(io.BytesIO(data)), array)


def test_a_memory_mapped_array_is_loaded_into_memory(tmp_path: Path) -> None:
    mapped = numpy.memmap(tmp_path / "data", numpy.int32, "w+", shape=(5, 3))
    mapped[:] = 3
    assert codec_name(mapped) == "numpy"
    loaded = round_trip(CODEC, mapped)
    assert type(loaded) is numpy.ndarray
    numpy.testing.assert_array_equal(loaded, mapped)


@pytest.mark.parametrize(
    "array",
    [
        numpy.array([None, "x"], object),
        numpy.zeros(2, [("a", "i4"), ("b", object)]),
        numpy.zeros(2, numpy.dtype("i4", metadata={"unit": "m"})),
        numpy.zeros(2, numpy.dtype([("a", numpy.dtype("i4", metadata={"unit": "m"}))])),
        numpy.zeros(2, numpy.dtype([("a", "i1"), ("b", "f8")], align=True)),
        numpy.zeros(2, {"names": ["a", "b"], "formats": ["i4", "i2"], "offsets": [0, 2]}),
        numpy.zeros(2, [("größe ✓", "i4")]),
        numpy.empty(2, "V0"),
        numpy.ma.masked_array([1, 2], [True, False]),
        numpy.rec.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    ],
)
def test_an_array_that_the_npy_format_would_change_is_pickled(
    array: numpy.ndarray[Any, Any],
) -> None:
    assert codec_name(array) == "pickle"


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data + b"x",
        lambda data: data[:-1],
        lambda data: b"PK" + data[2:],
        lambda data: data[:8],
        lambda data: data.replace(b"<f8", b"|O8"),
        lambda data: data.replace(b"(4,)", b"(9,)"),
        lambda data: b"",
    ],
)
def test_invalid_bytes_are_an_error(damage: Any) -> None:
    data = b"".join(CODEC.encode(numpy.arange(4.0)).chunks())
    with pytest.raises(ValueError, match=r".+"):
        CODEC.decode(memoryview(damage(data)))


@given(hnp.scalar_dtypes().flatmap(lambda dtype: hnp.arrays(dtype, ())))
def test_every_scalar_keeps_its_type_and_bits(array: numpy.ndarray[Any, Any]) -> None:
    value = array[()]
    if NumpyScalarCodec().accepts(value):
        loaded = round_trip(NumpyScalarCodec(), value)
        assert type(loaded) is type(value)
        assert loaded.dtype == value.dtype
        assert loaded.tobytes() == value.tobytes()


@pytest.mark.parametrize(
    "value",
    [
        numpy.float64(0.97),
        numpy.int64(1),
        numpy.bool_(True),
        numpy.float16("nan"),
        numpy.datetime64("2026-01-01", "D"),
        numpy.timedelta64(1, "D"),
        numpy.arange(3).mean(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_numbers_and_dates_are_not_pickled(value: Any) -> None:
    assert codec_name(value) == "numpy-scalar"
    assert type(round_trip(NumpyScalarCodec(), value)) is type(value)


class Number(numpy.float64):  # type: ignore[misc]  # mypy skips the types of numpy
    pass


@pytest.mark.parametrize(
    "value",
    [
        Number(1),
        numpy.str_("x\0"),
        numpy.bytes_(b"x\0"),
        numpy.void(b"x"),
        numpy.zeros((), [("a", "i4")])[()],
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_scalar_that_an_array_would_change_is_pickled(value: Any) -> None:
    assert codec_name(value) == "pickle"


def test_the_scalar_codec_refuses_an_array() -> None:
    with pytest.raises(ValueError, match="1 dimensions"):
        NumpyScalarCodec().decode(encoded(CODEC, numpy.ones(1)))


@pytest.mark.contract
def test_choosing_a_codec_for_other_values_does_not_import_numpy() -> None:
    program = (
        "import sys\n"
        "from flowyml_aws.artifacts.codecs.selection import choose_codec\n"
        "choose_codec((1, 2)), choose_codec([1])\n"
        "sys.exit('numpy' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
