"""Bytes of any size in parts, with the digest that S3 itself computes."""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from flowyml_aws.artifacts.errors import UnstorableValueError
from flowyml_aws.artifacts.parallel import for_each_part

__all__ = ["PART_BYTES", "Content", "FilePiece", "digest_of_parts", "part_count", "part_range"]

PART_BYTES = 16 * 1024 * 1024
"""Size of every part but the last. It belongs to the digest: another size, another digest."""

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

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill a buffer with the file's bytes from an offset.

        Raises:
            UnstorableValueError: The file changed since `at`.
        """
        with self.path.open("rb", buffering=0) as file:
            filled = 0
            while filled < len(buffer):
                count = os.preadv(file.fileno(), [buffer[filled:]], offset + filled)
                if count == 0:
                    break
                filled += count
            found = os.fstat(file.fileno())
        unchanged = (found.st_mtime_ns, found.st_ino) == self.modified
        if filled < len(buffer) or found.st_size != self.size_bytes or not unchanged:
            raise UnstorableValueError(
                what=f"{self.path} can't be stored",
                why="it changed while it was being stored",
                fix="finish writing the file before the step returns it",
            )


class Content:
    """Bytes made of buffers and files, seen as parts of `PART_BYTES`.

    Nothing is read or copied before a part is asked for, and never more than that part. So
    buffers and files must stay as they are until the content is stored.

    Attributes:
        size_bytes: Bytes of all pieces together.
        filename: Name of the file or folder that the bytes stand for, if they do.
    """

    def __init__(self, *pieces: Buffer | FilePiece, filename: str | None = None) -> None:
        self._pieces: list[memoryview | FilePiece] = []
        self._starts = [0]  # of each piece, and behind the last
        for piece in pieces:
            if not isinstance(piece, FilePiece):
                piece = memoryview(piece)
            if size := _size(piece):
                self._pieces.append(piece if isinstance(piece, FilePiece) else piece.cast("B"))
                self._starts.append(self._starts[-1] + size)
        self.size_bytes = self._starts[-1]
        self.filename = filename
        self._part_digests: tuple[bytes, ...] | None = None

    @classmethod
    def of_file(cls, path: Path) -> Content:
        """A file's bytes, under its name."""
        return cls(FilePiece.at(path), filename=path.name)

    @property
    def part_count(self) -> int:
        """At least one, if only an empty one."""
        return part_count(self.size_bytes)

    def part(self, index: int) -> memoryview:
        """One part; a slice without a copy where it lies in one buffer."""
        if not 0 <= index < self.part_count:
            raise IndexError(index)
        start, end = part_range(self.size_bytes, index)
        if start == end:
            return memoryview(b"")
        first = bisect_right(self._starts, start) - 1
        piece, offset = self._pieces[first], start - self._starts[first]
        if isinstance(piece, memoryview) and end <= self._starts[first + 1]:
            return piece[offset : offset + end - start]
        return self._joined(first, start, end)

    def parts(self) -> Iterator[memoryview]:
        """All parts in order."""
        return map(self.part, range(self.part_count))

    @property
    def part_digests(self) -> tuple[bytes, ...]:
        """Binary SHA-256 of each part, computed once, in parallel."""
        if self._part_digests is None:
            # hashlib lets other threads run while it hashes.
            self._part_digests = for_each_part(
                self.part_count, lambda index: hashlib.sha256(self.part(index)).digest()
            )
        return self._part_digests

    @property
    def sha256(self) -> str:
        """The digest by the rule of `digest_of_parts`, in hex."""
        return digest_of_parts(self.part_digests)

    def _joined(self, first: int, start: int, end: int) -> memoryview:
        part = memoryview(bytearray(end - start))
        at = start
        while at < end:
            piece, offset = self._pieces[first], at - self._starts[first]
            upto = min(self._starts[first + 1], end)
            target = part[at - start : upto - start]
            if isinstance(piece, FilePiece):
                piece.read_into(offset, target)
            else:
                target[:] = piece[offset : offset + upto - at]
            at, first = upto, first + 1
        return part


def _size(piece: memoryview | FilePiece) -> int:
    return piece.size_bytes if isinstance(piece, FilePiece) else piece.nbytes
