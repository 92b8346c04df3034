"""Codecs for the indexes of lists and folders whose parts are stored one by one."""

from __future__ import annotations

from typing import Any

from flowyml_aws.artifacts.content import Content
from flowyml_aws.artifacts.folder_index import FolderIndex
from flowyml_aws.artifacts.list_index import ListIndex

__all__ = ["FolderIndexCodec", "ListIndexCodec"]


class ListIndexCodec:
    """Codec for `ListIndex`, which only the runner stores. Values with it are loaded as lists."""

    name = "items"
    version = 1

    def accepts(self, value: Any) -> bool:
        """Return whether the value is an index."""
        return type(value) is ListIndex

    def encode(self, value: Any) -> Content:
        """Return compact JSON without defaults."""
        return Content(value.model_dump_json(exclude_defaults=True).encode())

    def decode(self, data: memoryview) -> ListIndex:
        """Return the index."""
        return ListIndex.model_validate_json(bytes(data))


class FolderIndexCodec:
    """Codec for `FolderIndex`, which only the client stores. Values with it are loaded as paths."""

    name = "folder"
    version = 1

    def accepts(self, value: Any) -> bool:
        """Return whether the value is an index."""
        return type(value) is FolderIndex

    def encode(self, value: Any) -> Content:
        """Return compact JSON."""
        return Content(value.to_json(indent=None))

    def decode(self, data: memoryview) -> FolderIndex:
        """Return the index."""
        return FolderIndex.model_validate_json(bytes(data))
