"""Bytes of any size in parts, with the digest that S3 itself computes."""

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
"""Size of every part but the last. It belongs to the digest: another size, another digest."""

CHUNK_BYTES = 1024 * 1024
"""Of a file that are in memory at once."""

Buffer: TypeAlias = "bytes | bytearray | memoryview"


def part_count(size_bytes: int) -> int:
    """Parts of that many bytes; nothing at all is one empty part."""
    return max(1, -(-size_bytes // PART_BYTES))


def part_range(size_bytes: int, index: int) -> tuple[int, int]:
    """First byte of a part and the byte behind its last."""
    start = index * PART_BYTES
    return start, min(start + PART_BYTES, size_bytes)


def digest_of_parts(part_digests: Sequence[bytes]) -> str:
    """The SHA-256 of a content in hex, from the binary SHA-256 of each of its parts.

    One part: of the bytes. More: of the parts' digests, which is S3's composite checksum without
    the `-<parts>` behind it (Amazon S3 User Guide, "Checking object integrity").
    """
    if len(part_digests) == 1:
        return part_digests[0].hex()
    return hashlib.sha256(b"".join(part_digests)).hexdigest()


@dataclass(frozen=True, slots=True)
class FilePiece:
    """A whole file as a piece of a content, read when it is needed.

    Attributes:
        modified: What must stay the same until the content is stored.
    """

    path: Path
    size_bytes: int
    modified: tuple[int, int]

    @classmethod
    def at(cls, path: Path) -> FilePiece:
        """The file as it lies there now."""
        found = path.stat()
        return cls(path, found.st_size, (found.st_mtime_ns, found.st_ino))

    def between(self, start: int, end: int) -> Iterator[memoryview]:
        """Bytes of a range, each chunk in the memory of the one before it.

        Raises:
            UnstorableValueError: The file changed since `at`.
        """
        memory = memoryview(bytearray(min(CHUNK_BYTES, end - start)))
        with self.path.open("rb", buffering=0) as file:
            while start < end:
                count = os.preadv(file.fileno(), [memory[: end - start]], start)
                found = os.fstat(file.fileno())
                unchanged = (found.st_mtime_ns, found.st_ino) == self.modified
                if count == 0 or found.st_size != self.size_bytes or not unchanged:
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
        """Bytes of each part: at least one, if only an empty one."""

    @abstractmethod
    def part(self, index: int) -> Iterator[Buffer]:
        """The bytes of a part, in chunks that are gone once the next one is asked for."""

    @property
    def size_bytes(self) -> int:
        """Bytes of all parts together."""
        return sum(self.part_sizes)

    def chunks(self) -> Iterator[Buffer]:
        """All bytes in order."""
        for index in range(len(self.part_sizes)):
            yield from self.part(index)

    @property
    def part_digests(self) -> tuple[bytes, ...]:
        """Binary SHA-256 of each part, computed once, in parallel."""
        if self._digests is None:
            # hashlib lets other threads run while it hashes.
            self._digests = for_each_part(len(self.part_sizes), self._digest)
        return self._digests

    @property
    def sha256(self) -> str:
        """The digest by the rule of `digest_of_parts`, in hex."""
        return digest_of_parts(self.part_digests)

    def _digest(self, index: int) -> bytes:
        digest = hashlib.sha256()
        for chunk in self.part(index):
            digest.update(chunk)
        return digest.digest()


class Content(Parts):
    """Bytes made of buffers and files, in parts of `PART_BYTES`.

    Nothing is copied, and of a file no more than a chunk is read at once. So buffers and files
    must stay as they are until the content is stored.

    Attributes:
        filename: Name of the file or folder that the bytes stand for, if they do.
        item_bytes: Bytes of each number where most of them are of one kind, else 1.
    """

    def __init__(
        self, *pieces: Buffer | FilePiece, filename: str | None = None, item_bytes: ItemBytes = 1
    ) -> None:
        self._pieces: list[memoryview | FilePiece] = []
        self._starts = [0]  # of each piece, and behind the last
        for piece in pieces:
            if not isinstance(piece, FilePiece):
                piece = memoryview(piece)
            if size := _size(piece):
                self._pieces.append(piece if isinstance(piece, FilePiece) else piece.cast("B"))
                self._starts.append(self._starts[-1] + size)
        self.filename = filename
        self.item_bytes = item_bytes

    @classmethod
    def of_file(cls, path: Path) -> Content:
        """A file's bytes, under its name."""
        return cls(FilePiece.at(path), filename=path.name)

    @property
    def part_sizes(self) -> Sequence[int]:
        """`PART_BYTES` each, but for the last."""
        ranges = (part_range(self.size_bytes, n) for n in range(part_count(self.size_bytes)))
        return [end - start for start, end in ranges]

    @property
    def size_bytes(self) -> int:
        """Bytes of all pieces together."""
        return self._starts[-1]

    def part(self, index: int) -> Iterator[Buffer]:
        """The bytes of a part."""
        if not 0 <= index < part_count(self.size_bytes):
            raise IndexError(index)
        return self.between(*part_range(self.size_bytes, index))

    def between(self, start: int, end: int) -> Iterator[Buffer]:
        """Bytes of a range: slices of the buffers themselves, and chunks of files."""
        number = bisect_right(self._starts, start) - 1
        while start < end:
            piece, offset = self._pieces[number], start - self._starts[number]
            upto = min(self._starts[number + 1], end)
            if isinstance(piece, FilePiece):
                yield from piece.between(offset, offset + upto - start)
            else:
                yield piece[offset : offset + upto - start]
            start, number = upto, number + 1


def write_at(file: IO[bytes], data: memoryview, start: int) -> None:
    """Write all of the data from an offset on, as several threads may at once."""
    written = 0
    while written < len(data):
        written += os.pwrite(file.fileno(), data[written:], start + written)


def _size(piece: memoryview | FilePiece) -> int:
    return piece.size_bytes if isinstance(piece, FilePiece) else piece.nbytes
