"""Packs: many small contents in one object, with an index.

A request to a store takes as long for a few bytes as for many, and is billed alike. Contents of a
pack keep their digests: a document that refers to one contains its digest, the pack's key and its
place in the pack, so that it is read with one request for a range, and verified as any other.

The contents come first, one after the other. Then the index, as JSON: the digest, the offset and
the size of each. Then the size of the index, in 8 bytes, most significant first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import NonNegativeInt

from flowyml_aws.artifacts.content import Content
from flowyml_aws.artifacts.documents import Document, read_document
from flowyml_aws.artifacts.store import ObjectReader
from flowyml_aws.core.errors import DamagedArtifactError

__all__ = [
    "PACK_BYTES",
    "SMALL_BYTES",
    "Member",
    "Pack",
    "make_pack",
    "make_packs",
    "read_index",
    "read_part",
]

SMALL_BYTES = 128 * 1024
"""Size up to which a content is packed."""

PACK_BYTES = 8 * 1024 * 1024
"""Size of the contents after which a pack is full."""

_SIZE_BYTES = 8  # of the size of the index


@dataclass(frozen=True, slots=True)
class Member:
    """The digest of a content in a pack, and its place."""

    sha256: str
    offset: NonNegativeInt
    size_bytes: NonNegativeInt


class _Index(Document):
    version: Literal[1] = 1
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack, whose content refers to those of its members without a copy."""

    content: Content
    members: tuple[Member, ...]

    @property
    def sha256(self) -> str:
        """Digest of the whole pack in hex."""
        return self.content.sha256


def make_packs(contents: Mapping[str, bytes]) -> Iterator[Pack]:
    """Yield packs of contents, which are given by digest.

    Equal contents give equal packs, in whichever order they are given.
    """
    return map(make_pack, _groups(sorted(contents.items())))


def make_pack(contents: Iterable[tuple[str, bytes]]) -> Pack:
    """Return a pack of contents with their digests, in the order of the digests."""
    group, members, offset = sorted(contents), [], 0
    for sha256, data in group:
        members.append(Member(sha256=sha256, offset=offset, size_bytes=len(data)))
        offset += len(data)
    index = _Index(members=tuple(members)).model_dump_json().encode()
    size = len(index).to_bytes(_SIZE_BYTES, "big")
    return Pack(Content(*(data for _, data in group), index, size), tuple(members))


def read_index(pack: bytes, uri: str) -> tuple[Member, ...]:
    """Return the members of a pack in the order of their digests.

    Raises:
        DamagedArtifactError: The bytes are not a pack of this version.
    """
    end = len(pack) - _SIZE_BYTES
    start = end - int.from_bytes(pack[max(0, end) :], "big")
    if not 0 <= start <= end:
        raise DamagedArtifactError(
            what=f"{uri} is not a pack",
            why="it does not end with the size of an index",
            fix="delete it, then run the pipeline again",
        )
    return read_document(_Index, pack[start:end], uri).members


def read_part(store: ObjectReader, key: str, offset: int, size_bytes: int) -> bytes:
    """Return a part of an object, with one request. The caller verifies its digest.

    Raises:
        ArtifactNotFoundError: The object does not exist.
        DamagedArtifactError: The object is too short.
    """
    data = bytearray(size_bytes)
    store.read_into(key, offset, memoryview(data))
    return bytes(data)


def _groups(contents: Iterable[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    group: list[tuple[str, bytes]] = []
    size = 0
    for sha256, data in contents:
        group.append((sha256, data))
        size += len(data)
        if size >= PACK_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group
