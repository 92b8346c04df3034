from __future__ import annotations

import json
import struct
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy
import pytest
import safetensors.numpy

from flowyml_aws.artifacts.codecs.pickles import PickleCodec
from flowyml_aws.artifacts.codecs.tensors import TorchCodec
from tests.artifacts.roundtrip import codec_name, encoded, round_trip

torch = pytest.importorskip("torch", reason="PyTorch is not installed (up to 3 GB)")

CODEC = TorchCodec()

NUMBERS = ["bool", "complex64", "bfloat16", "float8_e4m3fn", "float8_e5m2"]
NUMBERS += [f"float{bits}" for bits in (16, 32, 64)]
NUMBERS += [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]


def assert_same(loaded: Any, original: Any) -> None:
    assert type(loaded) is type(original)
    assert (loaded.dtype, loaded.shape, loaded.requires_grad) == (
        original.dtype,
        original.shape,
        original.requires_grad,
    )
    assert bits(loaded) == bits(original)


def bits(tensor: Any) -> bytes:
    flat = tensor.detach().contiguous().reshape(-1)
    return bytes(flat.view(torch.uint8).numpy()) if flat.numel() else b""


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1,), (3, 5)], ids=str)
@pytest.mark.parametrize("kind", NUMBERS)
def test_every_type_of_tensor_is_restored(kind: str, shape: tuple[int, ...]) -> None:
    tensor = torch.full(shape, 3.0).to(getattr(torch, kind))
    assert codec_name(tensor) == "torch"
    assert_same(round_trip(CODEC, tensor), tensor)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(12.0).reshape(3, 4).t(),
        torch.arange(12.0)[::3],
        torch.ones(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
    ],
    ids=["transposed", "every third", "channels last"],
)
def test_a_strided_tensor_becomes_contiguous(tensor: Any) -> None:
    assert codec_name(tensor) == "torch"
    loaded = round_trip(CODEC, tensor)
    assert loaded.is_contiguous()
    assert torch.equal(loaded, tensor)


def test_a_slice_of_a_large_tensor_is_stored_without_the_rest() -> None:
    assert CODEC.encode(torch.ones(1_000_000)[5:10]).size_bytes < 1000


def test_parameters_and_gradients_are_restored() -> None:
    values = {
        "learned": torch.nn.Parameter(torch.ones(2)),
        "frozen": torch.nn.Parameter(torch.ones(2), requires_grad=False),
        "leaf": torch.ones(2, requires_grad=True),
        "plain": torch.ones(2),
    }
    loaded = round_trip(CODEC, values)
    assert list(loaded) == list(values)
    for name, tensor in values.items():
        assert_same(loaded[name], tensor)


def test_a_state_dict_is_restored_and_loads_into_its_module() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(30, 3), torch.nn.BatchNorm1d(3))
    state: Any = module.state_dict()
    assert codec_name(state) == "torch"
    loaded = round_trip(CODEC, state)
    assert type(loaded) is OrderedDict
    assert list(loaded) == list(state)
    assert vars(loaded) == vars(state)
    for name, tensor in state.items():
        assert_same(loaded[name], tensor)
    module.load_state_dict(loaded)


def test_tied_tensors_are_stored_once_and_stay_tied() -> None:
    weight = torch.ones(1000)
    state = {"first": weight, "between": torch.zeros(1), "last": weight.detach()}
    assert CODEC.encode(state).size_bytes < 5000
    loaded = round_trip(CODEC, state)
    assert list(loaded) == list(state)
    loaded["last"][0] = 7
    assert loaded["first"][0] == 7


def test_storing_and_loading_do_not_copy_a_tensor() -> None:
    tensor = torch.arange(10_000.0)
    piece = CODEC.encode(tensor)._pieces[-1]
    assert numpy.shares_memory(numpy.frombuffer(piece, numpy.uint8), tensor.numpy())
    data = encoded(CODEC, tensor)
    loaded = CODEC.decode(data)
    assert numpy.shares_memory(loaded.numpy(), numpy.frombuffer(data, numpy.uint8))
    loaded[0] = 7


def test_every_tensor_of_a_stored_dict_is_aligned() -> None:
    values = {"a": torch.ones(3, dtype=torch.int8), "b": torch.ones(5, dtype=torch.float64)}
    data = encoded(CODEC, values)
    base = numpy.frombuffer(data, numpy.uint8).ctypes.data
    for tensor in CODEC.decode(data).values():
        assert (tensor.data_ptr() - base) % tensor.element_size() == 0


def test_stored_tensors_are_a_safetensors_file() -> None:
    values = {"b": torch.arange(6).reshape(2, 3), "a": torch.ones(3, dtype=torch.bool)}
    read = safetensors.numpy.load(b"".join(CODEC.encode(values).chunks()))
    assert {name: array.tolist() for name, array in read.items()} == {
        name: tensor.tolist() for name, tensor in values.items()
    }


Tensor = type("Tensor", (torch.Tensor,), {})


def with_an_attribute() -> Any:
    tensor = torch.ones(2)
    tensor.note = "set by the user"
    return tensor


LINE = torch.arange(10.0)


@pytest.mark.parametrize(
    "value",
    [
        torch.ones(2).to_sparse(),
        torch.ones(2, device="meta"),
        torch.ones(1).expand(1000),
        torch.ones(2, dtype=torch.complex64).conj(),
        torch.ones(2, dtype=torch.complex128),
        torch.ones(2).as_subclass(Tensor),
        with_an_attribute(),
        {"whole": LINE, "part": LINE[:5]},
        {"a": LINE, "epoch": 3},
        {1: LINE},
        {"__metadata__": LINE},
        [LINE],
        torch.nn.Linear(2, 2),
    ],
    ids=str,
)
def test_a_value_that_the_format_does_not_support_is_pickled(value: Any) -> None:
    assert codec_name(value) == "pickle"


def test_loading_a_pickled_module_does_not_copy_its_weights() -> None:
    module = torch.nn.Linear(100, 100)
    module.again = module.weight
    data = encoded(PickleCodec(), module)
    loaded = PickleCodec().decode(data)
    assert torch.equal(loaded.weight, module.weight)
    assert loaded.again is loaded.weight
    memory = numpy.frombuffer(data, numpy.uint8)
    assert numpy.shares_memory(loaded.weight.detach().numpy(), memory)


def test_overlapping_tensors_still_overlap_after_pickling() -> None:
    whole, part, empty = round_trip(PickleCodec(), (LINE, LINE[:5], torch.empty(0)))
    part[0] = 7
    assert whole[0] == 7
    assert empty.shape == (0,)


def test_a_meta_tensor_is_restored_by_pickle() -> None:
    (loaded,) = round_trip(PickleCodec(), (torch.ones(3, device="meta"),))
    assert loaded.device.type == "meta"


def with_header(data: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    change(header)
    encoded_header = json.dumps(header).encode()
    return struct.pack("<Q", len(encoded_header)) + encoded_header + data[8 + length :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: data[:5],
        lambda data: b"",
        lambda data: struct.pack("<Q", 2**60) + data[8:],
        lambda data: with_header(data, lambda header: header.pop("__metadata__")),
        lambda data: with_header(data, lambda header: header["tensor"].update(dtype="F7")),
        lambda data: with_header(data, lambda header: header["tensor"].update(dtype="F64")),
        lambda data: with_header(data, lambda header: header["tensor"].update(shape=[-2, -2])),
        lambda data: with_header(
            data, lambda header: header["tensor"].update(data_offsets=[-16, 16])
        ),
        lambda data: with_header(data, lambda header: header["tensor"].update(data_offsets=[8, 4])),
    ],
)
def test_invalid_bytes_are_an_error(damage: Callable[[bytes], bytes]) -> None:
    data = b"".join(CODEC.encode(torch.ones(4)).chunks())
    with pytest.raises((ValueError, KeyError, struct.error)):
        CODEC.decode(memoryview(bytearray(damage(data))))
