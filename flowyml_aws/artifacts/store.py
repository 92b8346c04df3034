"""The interface of artifact stores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from flowyml_aws.artifacts.content import Parts

__all__ = ["FRESH_S", "ArtifactStore", "ObjectEntry", "ObjectReader"]

FRESH_S = 24 * 3600
"""Seconds for which an object counts as recently written. `upload` records uses of older ones."""


@dataclass(frozen=True, slots=True)
class ObjectEntry:
    """An object in a listing. `modified_at` is in seconds since the epoch."""

    key: str
    size_bytes: int
    modified_at: float


class ObjectReader(Protocol):
    """The part of a store that reads documents and parts of objects."""

    @property
    def uri(self) -> str:
        """URI of the store, without a trailing slash."""

    def get(self, key: str) -> bytes:
        """Return a document."""

    def read_into(self, key: str, offset: int, buffer: memoryview) -> object:
        """Fill a buffer with the object's bytes from an offset."""


class ArtifactStore(Protocol):
    """Bytes by key. Keys are relative, `/`-separated and without empty or dotted parts.

    Small documents are read and written whole; contents are streamed in parts. Every write is
    atomic. Every read raises `ArtifactNotFoundError` if the object does not exist.
    """

    @property
    def uri(self) -> str:
        """URI of the store, without a trailing slash. The URI of an object is `<uri>/<key>`."""

    def get(self, key: str) -> bytes:
        """Return a document."""

    def put(self, key: str, data: bytes) -> None:
        """Write a document, replacing an existing one.

        Raises:
            DamagedArtifactError: The store does not replace documents of this kind
                (`layout.is_write_once`), and another one exists.
        """

    def create(self, key: str, data: bytes) -> bool:
        """Create the document if it does not exist. Return False otherwise."""

    def age_s(self, key: str) -> float:
        """Return the seconds since a document was written, at least 0 and never too many.

        Both times are those of the store: clients compare ages whatever their own clocks say.
        """

    def children(self, prefix: str) -> list[str]:
        """Return the sorted names directly below a prefix (`""` or ending in `/`)."""

    def upload(self, key: str, content: Parts) -> None:
        """Stream content to a key, unless the same content is stored there already.

        Garbage collection must see that the object is used. So if it exists and is not fresh, it
        is made fresh again, or gets a fresh marker (`layout.use_key`) if the store does not
        replace objects.

        Raises:
            DamagedArtifactError: Another content is stored there, and the caller may not delete
                it.
        """

    def holds(self, key: str, sha256: str, size_bytes: int) -> bool:
        """Return whether an object exists, and has this size and digest.

        The digest is compared only if that does not need the bytes.
        """

    def read_into(self, key: str, offset: int, buffer: memoryview) -> int:
        """Fill a buffer with the object's bytes from an offset. Return the object's size.

        Raises:
            DamagedArtifactError: The object ends before the buffer is full.
        """

    def walk(self, prefix: str) -> Iterator[ObjectEntry]:
        """Yield the objects below a prefix (`""` or ending in `/`), in any order."""

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects. Missing objects are ignored.

        Raises:
            AwsRefusedError: Some objects could not be deleted. The others were deleted.
        """

    def clear_unfinished(self, before: float) -> int:
        """Delete unfinished writes from before a time. Return how many there were."""
