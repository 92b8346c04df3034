"""Stored lists and bytes, of which items are read one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flowyml_aws.artifacts.lazy.pieces import unsupported
from flowyml_aws.artifacts.verified_bytes import VerifiedBytes

__all__ = ["StoredBytes", "StoredList"]


class StoredBytes:
    """A value of type `bytes`.

    Args:
        data: The bytes.
    """

    def __init__(self, data: VerifiedBytes) -> None:
        self._data = data

    def length(self) -> int:
        """Return the number of bytes."""
        return self._data.size_bytes

    def get(self, key: Any) -> Any:
        """Return the bytes of a slice, or one byte as an integer."""
        places = range(self.length())[key]
        if isinstance(places, int):
            return self._data.read(places, places + 1)[0]
        if not places:
            return b""
        low, high = min(places), max(places) + 1
        return bytes(self._data.read(low, high)[:: places.step])

    def columns(self, labels: Sequence[Any]) -> Any:
        """Raise the error."""
        raise unsupported("bytes", "columns")

    def fact(self, name: str) -> Any:
        """Raise the error."""
        raise unsupported("bytes", name)


class StoredList:
    """A list whose items are stored one by one, as the outputs of a map are.

    Args:
        count: Number of items.
        load: Loads some items, by their positions.
    """

    def __init__(self, count: int, load: Callable[[Sequence[int]], list[Any]]) -> None:
        self._count, self._load = count, load

    def length(self) -> int:
        """Return the number of items."""
        return self._count

    def get(self, key: Any) -> Any:
        """Return an item, or a list of the items of a slice."""
        places = range(self._count)[key]
        if isinstance(places, int):
            return self._load([places])[0]
        return self._load(places)

    def columns(self, labels: Sequence[Any]) -> Any:
        """Raise the error."""
        raise unsupported("list", "columns")

    def fact(self, name: str) -> Any:
        """Raise the error."""
        raise unsupported("list", name)
