"""Verified bytes out of a store, into memory or onto disk, several parts at a time."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

from flowyml_aws.artifacts.content import digest_of_parts, part_count, part_range
from flowyml_aws.artifacts.parallel import for_each_part
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.errors import DamagedArtifactError

__all__ = ["read_to_bytes", "read_to_file", "read_to_memory"]


def read_to_memory(store: ArtifactStore, key: str, size_bytes: int, sha256: str) -> bytearray:
    """An object's bytes, proven by their digest, in memory of exactly their size.

    Raises:
        ArtifactNotFoundError: Nothing lies there.
        DamagedArtifactError: The bytes are others.
    """
    _probe(store, key, size_bytes)
    data = bytearray(size_bytes)
    with memoryview(data) as view:
        _fill(store, key, sha256, view)
    return data


def read_to_bytes(store: ArtifactStore, key: str, size_bytes: int, sha256: str) -> bytes:
    """The same as `bytes`, which nothing else could write in place.

    Raises:
        ArtifactNotFoundError: Nothing lies there.
        DamagedArtifactError: The bytes are others.
    """
    _probe(store, key, size_bytes)
    # The one way to `bytes` without a second copy: a BytesIO hands out its own memory.
    data = io.BytesIO()
    if size_bytes:
        data.seek(size_bytes - 1)
        data.write(b"\0")
    with data.getbuffer() as view:
        _fill(store, key, sha256, view)
    return data.getvalue()


def read_to_file(store: ArtifactStore, key: str, size_bytes: int, sha256: str, path: Path) -> None:
    """Write an object's bytes to a new file, in constant memory.

    Raises:
        ArtifactNotFoundError: Nothing lies there.
        DamagedArtifactError: The bytes are others. The file must not be used.
    """
    _probe(store, key, size_bytes)
    with path.open("xb", buffering=0) as file:

        def copy_part(index: int) -> bytes:
            start, end = part_range(size_bytes, index)
            part = memoryview(bytearray(end - start))
            store.read_into(key, start, part)
            written = 0
            while written < len(part):
                written += os.pwrite(file.fileno(), part[written:], start + written)
            return hashlib.sha256(part).digest()

        digests = for_each_part(part_count(size_bytes), copy_part)
    _check(store, key, sha256, digests)


def _fill(store: ArtifactStore, key: str, sha256: str, view: memoryview) -> None:
    def read_part(index: int) -> bytes:
        start, end = part_range(len(view), index)
        with view[start:end] as part:
            store.read_into(key, start, part)
            return hashlib.sha256(part).digest()

    _check(store, key, sha256, for_each_part(part_count(len(view)), read_part))


def _probe(store: ArtifactStore, key: str, size_bytes: int) -> None:
    if part_count(size_bytes) > 1:
        # The last byte first: a size that is not true must take neither memory nor disk.
        store.read_into(key, size_bytes - 1, memoryview(bytearray(1)))


def _check(store: ArtifactStore, key: str, sha256: str, digests: tuple[bytes, ...]) -> None:
    found = digest_of_parts(digests)
    if found != sha256:
        raise DamagedArtifactError(
            what=f"{store.uri}/{key} is damaged",
            why=f"its bytes have the SHA-256 {found}, expected {sha256}",
            fix="remove the object, then run what produces it again",
        )
