"""Folders whose files are stored one by one: an index with the digest of each file.

The identity of the folder is the digest of its index, so it depends only on the names, contents and
executable bits of its files.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import ClassVar, Literal

from pydantic import NonNegativeInt

from flowyml_aws.artifacts.documents import Document
from flowyml_aws.artifacts.layout import artifact_key
from flowyml_aws.artifacts.refs import ArtifactRef, Sha256

__all__ = ["FOLDER_INDEX", "FolderFile", "FolderIndex"]

FOLDER_INDEX = "folder/1"
"""Codec of indexes."""

_FILE = "file/1"


class FolderFile(Document):
    """A file of a folder.

    Attributes:
        path: Path in the folder, with slashes.
        sha256: Digest of its content, which is the key of its object.
        is_executable: Whether its owner may execute it.
    """

    omits_defaults: ClassVar[bool] = True

    path: str
    size_bytes: NonNegativeInt
    sha256: Sha256
    is_executable: bool = False

    def ref(self, store_uri: str) -> ArtifactRef:
        """Return the ref of the file in a store."""
        return ArtifactRef(
            uri=f"{store_uri}/{artifact_key(self.sha256)}",
            sha256=self.sha256,
            size_bytes=self.size_bytes,
            codec=_FILE,
            filename=PurePosixPath(self.path).name,
        )


class FolderIndex(Document):
    """The files of a folder, sorted by path. Empty folders are not in it."""

    omits_defaults: ClassVar[bool] = True

    version: Literal[1] = 1
    files: tuple[FolderFile, ...]

    @property
    def size_bytes(self) -> int:
        """Size of all files in bytes."""
        return sum(file.size_bytes for file in self.files)

    def refs(self, store_uri: str) -> Iterator[ArtifactRef]:
        """Yield the refs of the files in a store. Empty files are not stored."""
        return (file.ref(store_uri) for file in self.files if file.size_bytes)
