"""Codec for PyTorch tensors and state dicts, as a safetensors file. Decoding runs no code.

Format: https://github.com/huggingface/safetensors#format. Facts that it does not represent (tied
tensors, which tensors are parameters, versions of modules) are in its `__metadata__`.
"""

from __future__ import annotations

import ctypes
import json
import math
import pickle
import struct
import sys
from collections import OrderedDict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from flowyml_aws.artifacts.codecs.plain import JsonCodec
from flowyml_aws.artifacts.content import Content

if TYPE_CHECKING:
    import torch

__all__ = ["TorchCodec", "storage_reducers"]

_LENGTH = struct.Struct("<Q")
_ALIGNMENT = 64
_METADATA = "flowyml_aws"
_SINGLE = "tensor"
_TYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "F16": "float16",
    "BF16": "bfloat16",
    "U32": "uint32",
    "I32": "int32",
    "F32": "float32",
    "U64": "uint64",
    "I64": "int64",
    "F64": "float64",
    "C64": "complex64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
}
_NAMES = {f"torch.{name}": code for code, name in _TYPES.items()}


class TorchCodec:
    """Codec for tensors and parameters, single or in a flat dict by name. Decodes to the CPU.

    Strided tensors become contiguous. Tensors that partly overlap in memory, are sparse or
    quantized, or have their own class are pickled, as are modules.
    """

    name = "torch"
    version = 1

    def accepts(self, value: Any) -> bool:
        """Return whether the value consists of tensors that the format supports."""
        torch = sys.modules.get("torch")
        if torch is None or not hasattr(torch, "Tensor"):
            return False
        classes = (torch.Tensor, torch.nn.Parameter)
        if type(value) in classes:
            return _is_plain(value)
        if type(value) not in (dict, OrderedDict) or not value or "__metadata__" in value:
            return False
        return (
            all(type(name) is str and name.isprintable() for name in value)
            and all(type(tensor) in classes and _is_plain(tensor) for tensor in value.values())
            and _overlap_fully_or_not(value.values())
            and _versions_of(value) is not None
        )

    def encode(self, value: Any) -> Content:
        """Return a header and the memory of the tensors, uncopied if on the CPU and contiguous."""
        import torch

        is_single = isinstance(value, torch.Tensor)
        tensors: dict[str, torch.Tensor] = {_SINGLE: value} if is_single else value
        first_by_view: dict[Any, str] = {}
        tied = {}
        for name, tensor in tensors.items():
            first = first_by_view.setdefault(_view_key(tensor), name)
            if first != name:
                tied[name] = first
        description = {
            "kind": _SINGLE if is_single else type(value).__name__,
            "parameters": [n for n, t in tensors.items() if isinstance(t, torch.nn.Parameter)],
            "gradients": [n for n, t in tensors.items() if t.requires_grad],
            "versions": {} if is_single else _versions_of(value),
            "tied": tied,
            "order": list(tensors) if tied else [],
        }
        header: dict[str, Any] = {"__metadata__": {_METADATA: json.dumps(description)}}
        header |= dict.fromkeys(name for name in tensors if name not in tied)
        pieces = []
        end = 0
        # Widest elements first, so that each tensor is aligned: the format allows no gaps.
        for name in sorted(
            (name for name in tensors if name not in tied),
            key=lambda name: -tensors[name].element_size(),
        ):
            tensor = tensors[name].detach().cpu().contiguous()
            size = tensor.numel() * tensor.element_size()
            code, shape = _NAMES[str(tensor.dtype)], list(tensor.shape)
            header[name] = {"dtype": code, "shape": shape, "data_offsets": [end, end + size]}
            if size:
                pieces.append(_memory(tensor, size))
            end += size
        encoded = json.dumps(header, separators=(",", ":")).encode()
        encoded += b" " * (-(_LENGTH.size + len(encoded)) % _ALIGNMENT)
        return Content(_LENGTH.pack(len(encoded)), encoded, *pieces)

    def decode(self, data: memoryview) -> Any:
        """Return tensors in the loaded memory."""
        (length,) = _LENGTH.unpack_from(data)
        start = _LENGTH.size + length
        header = json.loads(bytes(data[_LENGTH.size : start]))
        description = json.loads(header.pop("__metadata__")[_METADATA])
        body = data[start:]
        if len(body) != max((entry["data_offsets"][1] for entry in header.values()), default=0):
            raise ValueError(f"its tensors do not have {len(body)} bytes in total")
        loaded = {name: _tensor(body, **entry) for name, entry in header.items()}
        for name, first in description["tied"].items():
            loaded[name] = loaded[first].detach()
        for name in description["parameters"]:
            loaded[name] = _parameter(loaded[name])
        for name in description["gradients"]:
            loaded[name].requires_grad_()
        if description["kind"] == _SINGLE:
            return loaded[_SINGLE]
        if description["tied"]:
            loaded = {name: loaded[name] for name in description["order"]}
        if description["kind"] == "dict":
            return loaded
        state: Any = OrderedDict(loaded)
        if description["versions"]:
            state._metadata = OrderedDict(description["versions"])
        return state


def storage_reducers() -> dict[type, Any]:
    """Return reducers that pickle the memory of tensors uncopied and independent of a device.

    Empty if PyTorch is not imported.
    """
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "UntypedStorage"):
        return {}
    return {torch.UntypedStorage: _reduce_storage, torch.storage.TypedStorage: _reduce_typed}


def _reduce_storage(storage: torch.UntypedStorage) -> Any:
    if storage.device.type == "meta":
        return storage.__reduce__()
    storage = storage.cpu()
    if not storage.nbytes():
        return _make_storage, (b"",)
    return _make_storage, (pickle.PickleBuffer(_memory(storage, storage.nbytes())),)


def _make_storage(memory: Any) -> torch.UntypedStorage:
    import torch

    if not len(memory):
        return torch.UntypedStorage(0)
    return torch.frombuffer(memory, dtype=torch.uint8).untyped_storage()


def _reduce_typed(storage: Any) -> Any:
    return _make_typed, (storage._untyped_storage, storage.dtype)


def _make_typed(storage: torch.UntypedStorage, dtype: torch.dtype) -> Any:
    import torch

    return torch.storage.TypedStorage(wrap_storage=storage, dtype=dtype, _internal=True)


def _is_plain(tensor: torch.Tensor) -> bool:
    if str(tensor.layout) != "torch.strided" or tensor.device.type == "meta":
        return False
    strides = zip(tensor.shape, tensor.stride(), strict=True)
    # With a stride of 0, one element represents many. Writing all of them could need any memory.
    repeated = tensor.numel() and not all(size < 2 or stride for size, stride in strides)
    special = tensor.is_quantized or tensor.is_nested or tensor.is_conj() or tensor.is_neg()
    has_attributes = vars(tensor) or tensor._backward_hooks
    return str(tensor.dtype) in _NAMES and not (repeated or special or has_attributes)


def _view_key(tensor: torch.Tensor) -> Any:
    """Return a key that is equal for tensors that are the same view of the same memory."""
    if not tensor.numel():
        return id(tensor)
    return tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()


def _overlap_fully_or_not(tensors: Iterable[torch.Tensor]) -> bool:
    """Return whether tensors that share a storage are the same view of it."""
    views: dict[Any, Any] = {}
    return all(
        views.setdefault((tensor.device, tensor.untyped_storage().data_ptr()), _view_key(tensor))
        == _view_key(tensor)
        for tensor in tensors
        if tensor.numel()
    )


def _versions_of(state: Any) -> Any:
    """Return the module versions from `Module.state_dict`, or None if it has other attributes."""
    attributes = dict(getattr(state, "__dict__", {}))
    versions = attributes.pop("_metadata", OrderedDict())
    if attributes or type(versions) is not OrderedDict or not JsonCodec().accepts(dict(versions)):
        return None
    return versions


def _memory(owner: Any, size: int) -> Any:
    """Return the bytes of a tensor or storage. PyTorch itself needs numpy for that."""
    memory: Any = (ctypes.c_uint8 * size).from_address(owner.data_ptr())
    memory.owner = owner  # keeps the owner alive while the view is used
    return memory


def _tensor(
    body: memoryview, dtype: str, shape: list[int], data_offsets: list[int]
) -> torch.Tensor:
    import torch

    kind = getattr(torch, _TYPES[dtype])
    start, end = data_offsets
    count = math.prod(shape)
    if min(shape, default=0) < 0 or not 0 <= start <= end <= len(body):
        raise ValueError(f"a tensor of shape {shape} can't be at bytes {start} to {end}")
    if end - start != count * torch.empty(0, dtype=kind).element_size():
        raise ValueError(
            f"a tensor of type {dtype} and shape {shape} can't have {end - start} bytes"
        )
    if not count:
        return torch.empty(shape, dtype=kind)
    return torch.frombuffer(body[start:end], dtype=torch.uint8).view(kind).reshape(shape)


def _parameter(tensor: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.nn.Parameter(tensor, requires_grad=False)
