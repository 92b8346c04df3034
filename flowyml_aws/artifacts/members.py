"""Objects of a value that consists of several: a list, or a folder."""

from __future__ import annotations

from collections.abc import Iterator

from flowyml_aws.artifacts.documents import read_document
from flowyml_aws.artifacts.folder_index import FOLDER_INDEX, FolderIndex
from flowyml_aws.artifacts.list_index import LIST_INDEX, ListIndex
from flowyml_aws.artifacts.reading import read_to_memory
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.store import ArtifactStore

__all__ = ["has_members", "with_members"]


def has_members(ref: ArtifactRef) -> bool:
    """Return whether a value is an index of other objects."""
    return ref.codec in (LIST_INDEX, FOLDER_INDEX)


def with_members(store: ArtifactStore, ref: ArtifactRef) -> Iterator[ArtifactRef]:
    """Yield a ref, and those of the items of a list or the files of a folder that it indexes.

    Raises:
        ArtifactNotFoundError: The index does not exist.
        DamagedArtifactError: The index is damaged.
    """
    yield ref
    if ref.codec == LIST_INDEX:
        yield from read_document(ListIndex, bytes(read_to_memory(store, ref)), ref.uri).refs
    elif ref.codec == FOLDER_INDEX:
        index = read_document(FolderIndex, bytes(read_to_memory(store, ref)), ref.uri)
        yield from index.refs(store.uri)
