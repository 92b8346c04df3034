"""A store whose writes go to another store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from flowyml_aws.artifacts.content import Parts
from flowyml_aws.artifacts.store import ArtifactStore, ObjectEntry
from flowyml_aws.core.errors import ArtifactNotFoundError

__all__ = ["OverlayStore"]

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class OverlayStore:
    """A store that reads from two stores, and writes to the upper one.

    The lower store is never changed: nothing in it can be deleted, and its objects are not made
    fresh again.

    Attributes:
        lower: Store with the existing objects.
        upper: Store for everything that is written, whose objects replace those of the lower one.
    """

    lower: ArtifactStore
    upper: ArtifactStore

    @property
    def uri(self) -> str:
        """URI of the lower store."""
        return self.lower.uri

    def get(self, key: str) -> bytes:
        """Return a document."""
        return self._read(lambda store: store.get(key))

    def put(self, key: str, data: bytes) -> None:
        """Write a document to the upper store."""
        self.upper.put(key, data)

    def create(self, key: str, data: bytes) -> bool:
        """Create the document in the upper store, if none of the stores has it."""
        try:
            self.lower.age_s(key)
        except ArtifactNotFoundError:
            return self.upper.create(key, data)
        return False

    def age_s(self, key: str) -> float:
        """Return the seconds since a document was written."""
        return self._read(lambda store: store.age_s(key))

    def children(self, prefix: str) -> list[str]:
        """Return the sorted names directly below a prefix."""
        return sorted({*self.lower.children(prefix), *self.upper.children(prefix)})

    def upload(self, key: str, content: Parts) -> None:
        """Stream content to a key of the upper store."""
        self.upper.upload(key, content)

    def holds(self, key: str, sha256: str, size_bytes: int) -> bool:
        """Return whether an object exists, and has this size and digest."""
        return any(store.holds(key, sha256, size_bytes) for store in (self.upper, self.lower))

    def read_into(self, key: str, offset: int, buffer: memoryview) -> int:
        """Fill a buffer with the object's bytes from an offset. Return the object's size."""
        return self._read(lambda store: store.read_into(key, offset, buffer))

    def walk(self, prefix: str) -> Iterator[ObjectEntry]:
        """Yield the objects below a prefix."""
        upper = {entry.key: entry for entry in self.upper.walk(prefix)}
        yield from upper.values()
        yield from (entry for entry in self.lower.walk(prefix) if entry.key not in upper)

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects of the upper store."""
        self.upper.delete(keys)

    def clear_unfinished(self, before: float) -> int:
        """Delete unfinished writes of the upper store. Return how many there were."""
        return self.upper.clear_unfinished(before)

    def _read(self, read: Callable[[ArtifactStore], Answer]) -> Answer:
        try:
            return read(self.upper)
        except ArtifactNotFoundError:
            return read(self.lower)
