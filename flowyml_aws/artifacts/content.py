"""Content of any size in parts, with the digest that S3 computes."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeAlias

from flowyml_aws.artifacts.errors import UnstorableValueError
from flowyml_aws.artifacts.parallel import for_each_part
from flowyml_aws.artifacts.refs import ItemBytes

__all__ = [
    "CHUNK_BYTES",
    "MAX_PARTS",
    "PART_BYTES",
    "Buffer",
    "Content",
    "FilePiece",
    "Parts",
    "digest_of_parts",
    "part_count",
    "part_range",
    "write_at",
]

PART_BYTES = 16 * 1024 * 1024
"""Size of every part except the last. The digest depends on it."""

MAX_PARTS = 10_000
"""Largest number of parts of an object in S3 (Amazon S3 User Guide, "Multipart upload limits")."""

CHUNK_BYTES = 1024 * 1024
"""Size of the pieces in which files are read into memory."""

_SMALL_BYTES = 128 * 1024  # hashed without waiting for other parts: a map may have thousands

Buffer: TypeAlias = "bytes | bytearray | memoryview"


def part_count(size_bytes: int) -> int:
    """Return the number of parts. Empty content has one empty part."""
    return max(1, -(-size_bytes // PART_BYTES))


def part_range(size_bytes: int, index: int) -> tuple[int, int]:
    """Return the start offset (inclusive) and end offset (exclusive) of a part."""
    start = index * PART_BYTES
    return start, min(start + PART_BYTES, size_bytes)


def digest_of_parts(part_digests: Sequence[bytes]) -> str:
    """Return the SHA-256 of content in hex, from the binary SHA-256 of each of its parts.

    For one part, it is the SHA-256 of the bytes. For several parts, it is the SHA-256 of their
    digests, which is S3's composite checksum without the suffix `-<parts>` (Amazon S3 User Guide,
    "Checking object integrity").
    """
    if len(part_digests) == 1:
        return part_digests[0].hex()
    return hashlib.sha256(b"".join(part_digests)).hexdigest()


@dataclass(frozen=True, slots=True)
class FilePiece:
    """A whole file as a piece of content. It is read when the content is.

    Attributes:
        modified: Modification time in ns and inode; must not change until the content is stored.
    """

    path: Path
    size_bytes: int
    modified: tuple[int, int]

    @classmethod
    def at(cls, path: Path) -> FilePiece:
        """Return the file in its current state."""
        status = path.stat()
        return cls(path, status.st_size, (status.st_mtime_ns, status.st_ino))

    def between(self, start: int, end: int) -> Iterator[memoryview]:
        """Yield the bytes of a range. Each chunk reuses the memory of the previous one.

        Raises:
            UnstorableValueError: The file changed since `at`.
        """
        memory = memoryview(bytearray(min(CHUNK_BYTES, end - start)))
        with self.path.open("rb", buffering=0) as file:
            while start < end:
                count = os.preadv(file.fileno(), [memory[: end - start]], start)
                status = os.fstat(file.fileno())
                unchanged = (status.st_mtime_ns, status.st_ino) == self.modified
                if count == 0 or status.st_size != self.size_bytes or not unchanged:
                    raise UnstorableValueError(
                        what=f"{self.path} can't be stored",
                        why="it changed while it was being stored",
                        fix="finish writing the file before the step returns it",
                    )
                yield memory[:count]
                start += count


class Parts(ABC):
    """Bytes that are stored part by part."""

    _digests: tuple[bytes, ...] | None = None

    @property
    @abstractmethod
    def part_sizes(self) -> Sequence[int]:
        """Size of each part in bytes. Empty content has one empty part."""

    @abstractmethod
    def part(self, index: int) -> Iterator[Buffer]:
        """Yield the bytes of a part. A chunk is valid until the next one is requested."""

    @property
    def size_bytes(self) -> int:
        """Total size of all parts in bytes."""
        return sum(self.part_sizes)

    def chunks(self) -> Iterator[Buffer]:
        """Yield all bytes in order."""
        for index in range(len(self.part_sizes)):
            yield from self.part(index)

    @property
    def part_digests(self) -> tuple[bytes, ...]:
        """Binary SHA-256 of each part, computed once and in parallel."""
        if self._digests is None:
            if self.size_bytes <= _SMALL_BYTES:  # one part
                self._digests = (self._digest(0),)
            else:
                # hashlib releases the GIL while it hashes.
                self._digests = for_each_part(len(self.part_sizes), self._digest)
        return self._digests

    @property
    def sha256(self) -> str:
        """Digest in hex, as defined by `digest_of_parts`."""
        return digest_of_parts(self.part_digests)

    def _digest(self, index: int) -> bytes:
        digest = hashlib.sha256()
        for chunk in self.part(index):
            digest.update(chunk)
        return digest.digest()


class Content(Parts):
    """Content of buffers and files, in parts of `PART_BYTES`.

    Buffers are not copied, and files are read in chunks. So neither may change until the content
    is stored.

    Attributes:
        filename: Name of the file or folder that the bytes represent, or None.
        item_bytes: Size of a number in bytes if most of the content is numbers of one type,
            otherwise 1.
        codec: Id of the codec that decodes the bytes, or None for the codec that encoded them.
    """

    def __init__(
        self,
        *pieces: Buffer | FilePiece,
        filename: str | None = None,
        item_bytes: ItemBytes = 1,
        codec: str | None = None,
    ) -> None:
        # A view takes more memory than most small values, so bytes are viewed when they are read.
        self._pieces: list[bytes | memoryview | FilePiece] = []
        self._starts = [0]  # offset of each piece, and the end of the last one
        for piece in pieces:
            part = piece if isinstance(piece, bytes | FilePiece) else memoryview(piece)
            if size := _size(part):
                self._pieces.append(part.cast("B") if isinstance(part, memoryview) else part)
                self._starts.append(self._starts[-1] + size)
        self.filename = filename
        self.item_bytes = item_bytes
        self.codec = codec

    @classmethod
    def of_file(cls, path: Path) -> Content:
        """Return the content of a file, under the file's name."""
        return cls(FilePiece.at(path), filename=path.name)

    @property
    def part_sizes(self) -> Sequence[int]:
        """Size of each part: `PART_BYTES`, except for the last."""
        ranges = (part_range(self.size_bytes, n) for n in range(part_count(self.size_bytes)))
        return [end - start for start, end in ranges]

    @property
    def size_bytes(self) -> int:
        """Total size of all pieces in bytes."""
        return self._starts[-1]

    def part(self, index: int) -> Iterator[Buffer]:
        """Return an iterator over the bytes of a part."""
        if not 0 <= index < part_count(self.size_bytes):
            raise IndexError(index)
        return self.between(*part_range(self.size_bytes, index))

    def between(self, start: int, end: int) -> Iterator[Buffer]:
        """Yield the bytes of a range: slices of the buffers, and chunks of files."""
        number = bisect_right(self._starts, start) - 1
        while start < end:
            piece, offset = self._pieces[number], start - self._starts[number]
            stop = min(self._starts[number + 1], end)
            if isinstance(piece, FilePiece):
                yield from piece.between(offset, offset + stop - start)
            else:
                yield memoryview(piece)[offset : offset + stop - start]
            start, number = stop, number + 1


def write_at(file: IO[bytes], data: memoryview, start: int) -> None:
    """Write all data at an offset. Several threads may write to one file at once."""
    written = 0
    while written < len(data):
        written += os.pwrite(file.fileno(), data[written:], start + written)


def _size(piece: bytes | memoryview | FilePiece) -> int:
    if isinstance(piece, FilePiece):
        return piece.size_bytes
    return len(piece) if isinstance(piece, bytes) else piece.nbytes
