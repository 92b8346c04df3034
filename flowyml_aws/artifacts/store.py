"""What puts bytes under a key and gets them back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from flowyml_aws.artifacts.content import Parts

__all__ = ["FRESH_S", "ArtifactStore", "ObjectEntry"]

FRESH_S = 24 * 3600
"""Seconds for which a content counts as just written. `upload` makes an older one fresh again."""


@dataclass(frozen=True, slots=True)
class ObjectEntry:
    """An object as a listing tells it; `modified_at` in seconds since the epoch."""

    key: str
    size_bytes: int
    modified_at: float


class ArtifactStore(Protocol):
    """Bytes by key. Keys are relative, `/`-separated, without empty or dotted parts.

    Small documents are read and written whole; contents are streamed in parts. Every write is
    seen whole or not at all. Every read raises `ArtifactNotFoundError` where nothing lies.
    """

    @property
    def uri(self) -> str:
        """The store itself, without a trailing slash; an object's URI is `<uri>/<key>`."""

    def get(self, key: str) -> bytes:
        """A document, whole."""

    def put(self, key: str, data: bytes) -> None:
        """Write a document, over what lies there."""

    def create(self, key: str, data: bytes) -> bool:
        """Write a document only where nothing lies; False if something does."""

    def children(self, prefix: str) -> list[str]:
        """Names directly below a prefix (`""` or ending in `/`), sorted."""

    def upload(self, key: str, content: Parts) -> None:
        """Stream a content, unless the very same already lies there.

        Who collects garbage must see that it is used: what is not fresh any more is made so.
        """

    def read_into(self, key: str, offset: int, buffer: memoryview) -> int:
        """Fill a buffer with the object's bytes from an offset; how many the object has.

        Raises:
            DamagedArtifactError: The object ends before the buffer is full.
        """

    def walk(self, prefix: str) -> Iterator[ObjectEntry]:
        """Every object below a prefix (`""` or ending in `/`), in any order."""

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; one that is not there is no error.

        Raises:
            AwsRefusedError: Some could not be removed; the others are gone.
        """

    def clear_unfinished(self, before: float) -> int:
        """Remove what writers left that died before that time; how many they were."""
