"""Codecs for the indexes of values that consist of several objects."""

from __future__ import annotations

from typing import Any

from flowyml_aws.artifacts.content import Content
from flowyml_aws.artifacts.folder_index import FolderIndex
from flowyml_aws.artifacts.list_index import ListIndex
from flowyml_aws.artifacts.prefix_listing import PrefixListing

__all__ = ["FolderIndexCodec", "ListIndexCodec", "PrefixListingCodec"]


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


class PrefixListingCodec:
    """Codec for `PrefixListing`, which only the client stores. Jobs replace values by paths."""

    name = "s3-prefix"
    version = 1

    def accepts(self, value: Any) -> bool:
        """Return whether the value is a listing."""
        return type(value) is PrefixListing

    def encode(self, value: Any) -> Content:
        """Return compact JSON."""
        return Content(value.to_json(indent=None))

    def decode(self, data: memoryview) -> PrefixListing:
        """Return the listing."""
        return PrefixListing.model_validate_json(bytes(data))
