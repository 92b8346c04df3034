"""Handles of values, which steps get for parameters that are annotated as `Lazy[T]`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, NoReturn, TypeVar, overload

from flowyml_aws.artifacts.lazy.memory import in_memory
from flowyml_aws.artifacts.lazy.pieces import LazyAccessError, Pieces
from flowyml_aws.artifacts.values import encode_value
from flowyml_aws.core.lazy_parameters import Handle

__all__ = ["Facts", "Lazy", "Source"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Facts:
    """The size in bytes of an encoded value before compression, and the digest of its bytes."""

    nbytes: int
    digest: str


@dataclass(frozen=True, slots=True)
class Source:
    """The value of a handle.

    Attributes:
        load: Returns the whole value.
        pieces: Returns its pieces; None if it can only be read as a whole.
        facts: Returns its facts.
        reading: Returns a block in which the value is read.
    """

    load: Callable[[], Any]
    pieces: Callable[[], Pieces | None]
    facts: Callable[[], Facts]
    reading: Callable[[], AbstractContextManager[None]] = nullcontext


class Lazy(Handle, Generic[T]):
    """A handle of a value of type `T`, which reads only what is used.

    A step gets one for a parameter that is annotated as `Lazy[T]`. Nothing is read before it is
    used. Every piece is a new object, so a change of it never changes the value; every byte is
    verified before it is decoded.

    Arrays, frames, series and tables have rows, lists have items, and bytes have bytes:

    - `len(lazy)`, `lazy.shape`, `lazy.dtype` and `lazy.schema` read no rows;
    - `lazy[a:b]` reads these rows or items, and `lazy[i]` one row of an array, or one item;
    - `lazy.batches(1_000)` reads the rows one batch after the other;
    - `lazy.columns(["a", "b"])` reads columns of a frame or table.

    A value of another type is read as a whole when a piece of it is used. After `load`, pieces are
    cut from the loaded value.

    A handle is valid until its step ends, in the process of the step. It can't be pickled,
    returned or stored.
    """

    def __init__(self, source: Source, name: str) -> None:
        self._source, self._name = source, name
        self._loaded: list[T] = []
        self._process = os.getpid()
        self._is_closed = False

    @classmethod
    def of(cls, value: T, name: str = "value") -> Lazy[T]:
        """Return a handle of a value in memory, to call a step's function directly.

        Args:
            value: The value. It is not copied.
            name: Name for error messages.
        """

        def facts() -> Facts:
            ref = encode_value(name, value).ref("")
            return Facts(ref.value_bytes, ref.sha256)

        return cls(Source(lambda: value, lambda: in_memory(value), facts), name)

    def load(self) -> T:
        """Return the whole value. It is read once; each call returns the same object."""
        self._check()
        if not self._loaded:
            with self._source.reading():
                self._loaded.append(self._source.load())
            self._pieces = in_memory(self._loaded[0])
        return self._loaded[0]

    @overload
    def __getitem__(self, key: slice) -> T: ...
    @overload
    def __getitem__(self, key: Any) -> Any: ...
    def __getitem__(self, key: Any) -> Any:
        """Return the rows or items of a slice, or one of them.

        Raises:
            LazyAccessError: The value has no rows or items, or this key is not supported.
            IndexError: There is no such row or item.
        """
        if isinstance(key, slice):
            range(0)[key]  # invalid slices are errors of the caller
        self._check()
        with self._source.reading():
            return self._pieces.get(key)

    def __len__(self) -> int:
        self._check()
        with self._source.reading():
            return self._pieces.length()

    def __iter__(self) -> Iterator[Any]:
        return (self[number] for number in range(len(self)))

    def batches(self, rows: int) -> Iterator[T]:
        """Yield all rows or items in order, so many at a time. The last batch may be smaller.

        Only the current batch is in memory, and the blocks of 16 MiB that it is cut from: one for
        each buffer of a column.

        Args:
            rows: Number of rows or items of a batch.

        Raises:
            LazyAccessError: The value has no rows or items, or the number is not positive.
        """
        if not isinstance(rows, int) or rows < 1:
            raise LazyAccessError(
                what=f"Invalid number of rows of a batch: {rows!r}",
                why="a batch has at least one row",
                fix="pass a positive integer: batches(10_000)",
            )
        starts = range(0, len(self), rows)
        return (self[start : start + rows] for start in starts)

    def columns(self, labels: Sequence[Any]) -> T:
        """Return all rows of some columns of a frame or table, in the order of the labels.

        Raises:
            LazyAccessError: The value has no columns, or not all of these.
        """
        self._check()
        with self._source.reading():
            return self._pieces.columns(labels)  # type: ignore[no-any-return]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of an array, frame, series or table."""
        return self._fact("shape")  # type: ignore[no-any-return]

    @property
    def dtype(self) -> Any:
        """Data type of an array or series."""
        return self._fact("dtype")

    @property
    def schema(self) -> Any:
        """Columns and their types: `schema` of polars and pyarrow, and `dtypes` of pandas."""
        return self._fact("schema")

    @property
    def nbytes(self) -> int:
        """Size of the encoded value in bytes, before compression."""
        self._check()
        return self._facts.nbytes

    @property
    def digest(self) -> str:
        """SHA-256 of the stored bytes in hex. A value that is not stored is encoded for it."""
        self._check()
        return self._facts.digest

    def close(self) -> None:
        """Make the handle invalid. The runner does it when the step ends."""
        self._is_closed = True
        self._loaded.clear()
        self.__dict__.pop("_pieces", None)

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "loaded" if self._loaded else "not loaded"
        return f"<Lazy {self._name!r}, {state}>"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        import numpy

        array = numpy.asarray(self.load(), dtype)
        return array.copy() if copy else array

    def __getattr__(self, name: str) -> NoReturn:
        hint = "" if name.startswith("_") else f": use .load().{name}, or that of a piece"
        raise AttributeError(f"a Lazy has no attribute {name!r}{hint}", name=name, obj=self)

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise LazyAccessError(
            what=f"The handle of {self._name!r} can't be returned, stored, pickled or copied",
            why="a Lazy reads from the store of its job, and is invalid after its step",
            fix="return or pass the value or a piece of it: .load(), or rows such as [0:100]",
        )

    @cached_property
    def _pieces(self) -> Pieces:
        pieces = self._source.pieces()
        return in_memory(self.load()) if pieces is None else pieces

    @cached_property
    def _facts(self) -> Facts:
        with self._source.reading():
            return self._source.facts()

    def _fact(self, name: str) -> Any:
        self._check()
        try:
            with self._source.reading():
                return self._pieces.fact(name)
        except AttributeError as error:  # `__getattr__` would hide it
            raise RuntimeError(f"can't read {name}") from error

    def _check(self) -> None:
        if self._is_closed:
            why = "the step that got it has ended"
            fix = "read what you need inside the step, and return that"
        elif os.getpid() != self._process:
            why = "it belongs to the process that runs the step, and this is another one"
            fix = "read in the step's own process, or pass pieces to the other processes"
        else:
            return
        raise LazyAccessError(
            what=f"The handle of {self._name!r} can't be used any more", why=why, fix=fix
        )
