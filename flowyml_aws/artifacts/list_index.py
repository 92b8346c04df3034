"""Lists whose items are stored one by one: an index with the refs of the items.

The jobs of a map read single items of such a list. Every other reader gets the plain list of the
items that exist.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import NonNegativeInt

from flowyml_aws.artifacts.documents import Document
from flowyml_aws.artifacts.refs import ArtifactRef

__all__ = ["LIST_INDEX", "ListIndex", "ListItem"]

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
