"""Pieces of values in memory, which are the same as those of stored values."""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from typing import Any

from flowyml_aws.artifacts.lazy.pieces import (
    Pieces,
    positions_of,
    rows_of_slice,
    unsupported,
)

__all__ = ["in_memory"]


def in_memory(value: Any) -> Pieces:
    """Return the pieces of a value, which is not copied itself."""
    for module, (pieces, kinds) in _LIBRARIES.items():
        library = sys.modules.get(module)
        if library is not None and any(isinstance(value, getattr(library, k)) for k in kinds):
            return pieces(value)
    return _Items(value) if isinstance(value, _COLLECTIONS) else _Whole(value)


class _Whole:
    """A value without pieces."""

    _facts: tuple[str, ...] = ()

    def __init__(self, value: Any) -> None:
        self._value = value

    def length(self) -> int:
        raise unsupported(self._kind, "length")

    def get(self, key: Any) -> Any:
        raise unsupported(self._kind, "rows or items")

    def columns(self, labels: Sequence[Any]) -> Any:
        raise unsupported(self._kind, "columns")

    def fact(self, name: str) -> Any:
        if name not in self._facts:
            raise unsupported(self._kind, name)
        return getattr(self._value, name)

    @property
    def _kind(self) -> str:
        return type(self._value).__qualname__


class _Items(_Whole):
    def length(self) -> int:
        return len(self._value)

    def get(self, key: Any) -> Any:
        return copy.deepcopy(self._value[key])


class _Array(_Whole):
    _facts = ("shape", "dtype")

    def length(self) -> int:
        return len(self._value)

    def get(self, key: Any) -> Any:
        piece = self._value[key]
        return piece.copy(order="K") if hasattr(piece, "base") and piece.ndim else piece


class _Rows(_Whole):
    """Frames, series and tables."""

    def length(self) -> int:
        return int(self._shape()[0])

    def get(self, key: Any) -> Any:
        return self._between(rows_of_slice(self._kind, key, self.length()))

    def _between(self, rows: range) -> Any:
        raise NotImplementedError

    def _is_flat(self) -> bool:
        return self._kind == "Series"

    def fact(self, name: str) -> Any:
        if self._is_flat() and name == "dtype":
            return self._value.dtype
        if name == "shape":
            return self._shape()
        if self._is_flat() or name != "schema":
            raise unsupported(self._kind, name)
        return self._schema()

    def _shape(self) -> tuple[int, ...]:
        return tuple(self._value.shape)

    def _schema(self) -> Any:
        return self._value.schema


class _Pandas(_Rows):
    def _between(self, rows: range) -> Any:
        return self._value.iloc[rows.start : max(rows.start, rows.stop)].copy()

    def columns(self, labels: Sequence[Any]) -> Any:
        if self._is_flat():
            return super().columns(labels)
        known = self._value.columns
        positions = positions_of(
            labels, lambda label: [at for at in known.get_indexer_for([label]) if at >= 0], known
        )
        return self._value.iloc[:, positions].copy()

    def _schema(self) -> Any:
        return self._value.dtypes


class _Polars(_Rows):
    def _between(self, rows: range) -> Any:
        return self._value[rows.start : max(rows.start, rows.stop)]

    def columns(self, labels: Sequence[Any]) -> Any:
        if self._is_flat():
            return super().columns(labels)
        known = self._value.columns
        return self._value[:, _by_name(labels, known)]


class _Arrow(_Rows):
    def _between(self, rows: range) -> Any:
        return self._value.slice(rows.start, len(rows))

    def columns(self, labels: Sequence[Any]) -> Any:
        return self._value.select(_by_name(labels, self._value.schema.names))

    def _shape(self) -> tuple[int, ...]:
        return self._value.num_rows, self._value.num_columns


def _by_name(labels: Sequence[Any], known: Sequence[str]) -> list[int]:
    return positions_of(
        labels, lambda label: [at for at, name in enumerate(known) if name == label], known
    )


_COLLECTIONS = (list, tuple, dict, str, bytes, bytearray)
_LIBRARIES: dict[str, tuple[type[_Whole], tuple[str, ...]]] = {
    "numpy": (_Array, ("ndarray",)),
    "pandas": (_Pandas, ("DataFrame", "Series")),
    "polars": (_Polars, ("DataFrame", "Series")),
    "pyarrow": (_Arrow, ("Table", "RecordBatch")),
}
