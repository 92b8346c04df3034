"""Objects below a prefix of S3 as they were when a run was planned.

The identity of such an input is the digest of its listing, so it depends on the URI, and on the
keys, sizes and ETags of the objects.
"""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeInt

from flowyml_aws.artifacts.documents import Document

__all__ = ["PREFIX_LISTING", "PrefixListing", "PrefixObject"]

PREFIX_LISTING = "s3-prefix/1"
"""Codec of listings."""


class PrefixObject(Document):
    """An object below a prefix.

    Attributes:
        path: Key after the prefix, which is the path of the file in the folder.
        etag: ETag, with its quotes. It changes whenever the object is written.
    """

    path: str
    size_bytes: NonNegativeInt
    etag: str


class PrefixListing(Document):
    """The objects below a prefix, sorted by key.

    Attributes:
        uri: URI of the prefix, with a slash at its end.
    """

    version: Literal[1] = 1
    uri: str
    objects: tuple[PrefixObject, ...]

    @property
    def size_bytes(self) -> int:
        """Size of all objects in bytes."""
        return sum(each.size_bytes for each in self.objects)
