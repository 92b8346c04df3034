"""Lists whose items are stored one by one: an index with the refs of the items.

The jobs of a map read single items of such a list. Every other reader gets the plain list of the
items that exist.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import NonNegativeInt

from flowyml_aws.artifacts.documents import Document, read_document
from flowyml_aws.artifacts.reading import read_to_memory
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.store import ArtifactStore

__all__ = ["LIST_INDEX", "ListIndex", "ListItem", "with_items"]

LIST_INDEX = "items/1"
"""Codec of indexes."""


class ListItem(Document):
    """An item of a list.

    Attributes:
        position: Position in the list, from 0.
        ref: Ref of its value, or None if it does not exist.
        absent: Reason why it does not exist, if its step was skipped.
        dropped: Reason why it does not exist, if an item of a map failed.
    """

    position: NonNegativeInt
    ref: ArtifactRef | None = None
    absent: str | None = None
    dropped: str | None = None


class ListIndex(Document):
    """The index of a list, or of a part of it.

    Attributes:
        length: Number of items of the whole list.
        items: Items in order.
    """

    length: NonNegativeInt
    items: tuple[ListItem, ...]

    @property
    def refs(self) -> Iterable[ArtifactRef]:
        """Refs of the items that exist."""
        return (item.ref for item in self.items if item.ref is not None)


def with_items(store: ArtifactStore, ref: ArtifactRef) -> Iterator[ArtifactRef]:
    """Yield a ref, and those of its items if it is a list whose items are stored one by one.

    Raises:
        ArtifactNotFoundError: The index does not exist.
        DamagedArtifactError: The index is damaged.
    """
    yield ref
    if ref.codec == LIST_INDEX:
        yield from read_document(ListIndex, bytes(read_to_memory(store, ref)), ref.uri).refs
