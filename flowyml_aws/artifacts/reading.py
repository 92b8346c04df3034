"""Reading of stored values into memory or files: verified, and several parts at a time."""

from __future__ import annotations

import hashlib
import io
import mmap
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import Protocol

from flowyml_aws.artifacts.compression import MAX_FRAME_BYTES, decompress_frame, frames_of_parts
from flowyml_aws.artifacts.content import (
    PART_BYTES,
    Buffer,
    digest_of_parts,
    part_count,
    part_range,
    write_at,
)
from flowyml_aws.artifacts.parallel import (
    BUFFERED_PART_SLOTS,
    PART_SLOTS,
    PartSlots,
    for_each_part,
)
from flowyml_aws.artifacts.refs import ArtifactRef, Compression
from flowyml_aws.core.errors import ArtifactNotFoundError, DamagedArtifactError

__all__ = [
    "ObjectReader",
    "allocate_value",
    "checked_size",
    "damaged",
    "fetch",
    "is_intact",
    "part_digests",
    "read_to_bytes",
    "read_to_file",
    "read_to_memory",
]

AllocateBuffer = Callable[[int, int], memoryview]
WritePiece = Callable[[int, memoryview], None]
PieceBuffers = Callable[[int, int], Iterator["tuple[int, memoryview]"]]

_PIECE_BYTES = 4 * 1024 * 1024  # buffer for decompressed data; the frame is in memory, too


class ObjectReader(Protocol):
    """The part of a store that reads objects. The methods are those of `ArtifactStore`."""

    @property
    def uri(self) -> str: ...

    def read_into(self, key: str, offset: int, buffer: memoryview) -> int: ...


def read_to_memory(store: ObjectReader, ref: ArtifactRef) -> memoryview:
    """Return a value's bytes, verified by their digest, in writable memory of exactly their size.

    Raises:
        ArtifactNotFoundError: The object does not exist.
        DamagedArtifactError: The bytes are not those of the ref.
        MemoryError: The value does not fit into memory.
    """
    data = allocate_value(checked_size(store, ref))
    _read(store, ref, lambda start, end: data[start:end], _keep_in_place)
    return data


def read_to_bytes(store: ObjectReader, ref: ArtifactRef) -> bytes:
    """Return a value's bytes, verified by their digest, as `bytes`.

    Raises:
        ArtifactNotFoundError: The object does not exist.
        DamagedArtifactError: The bytes are not those of the ref.
    """
    size = checked_size(store, ref)
    # Only a BytesIO gives `bytes` without a second copy: it returns its own memory. Nothing is
    # read into a view of it: the traceback of a failed read would keep the view, and collecting
    # such a view crashes CPython 3.12.0 and 3.12.1 (python/cpython issue 111049).
    data, lock = io.BytesIO(), threading.Lock()

    def write(start: int, piece: Buffer) -> None:
        with lock:
            data.seek(start)
            data.write(piece)

    if size:
        write(size - 1, b"\0")
    _read_buffered(store, ref, write)
    return data.getvalue()


def is_intact(store: ObjectReader, ref: ArtifactRef) -> bool:
    """Read all bytes of a value, in constant memory, and return whether they are those of the ref.

    False, too, if the object does not exist.
    """
    try:
        checked_size(store, ref)
        _read_buffered(store, ref, _keep_in_place)
    except (ArtifactNotFoundError, DamagedArtifactError):
        return False
    return True


def part_digests(store: ObjectReader, ref: ArtifactRef) -> tuple[bytes, ...]:
    """Return the binary digest of each part of a value, which together prove its own digest.

    They are in the ref. For a ref of an earlier version, all bytes are read once, in constant
    memory.

    Raises:
        ArtifactNotFoundError: The object does not exist.
        DamagedArtifactError: The digests or the bytes are not those of the ref.
    """
    compression = ref.compression
    count = part_count(ref.size_bytes) if compression is None else len(frames_of_parts(compression))
    if count == 1:
        return (bytes.fromhex(ref.sha256),)
    try:
        digests = ref.part_digests
    except ValueError as error:
        raise damaged(store, ref, "its ref is inconsistent: invalid digests of parts") from error
    if digests is None:
        return _read_buffered(store, ref, _keep_in_place)
    if len(digests) != count or digest_of_parts(digests) != ref.sha256:
        raise damaged(
            store,
            ref,
            f"its ref is inconsistent: the digests of {len(digests)} parts do not give "
            f"the SHA-256 {ref.sha256}",
        )
    return digests


def read_to_file(store: ObjectReader, ref: ArtifactRef, path: Path) -> None:
    """Write a value's bytes to a new file, in constant memory.

    Raises:
        ArtifactNotFoundError: The object does not exist.
        DamagedArtifactError: The bytes are not those of the ref. The file must not be used.
    """
    checked_size(store, ref)
    with path.open("xb", buffering=0) as file:
        _read_buffered(store, ref, lambda start, piece: write_at(file, piece, start))


def _read_buffered(store: ObjectReader, ref: ArtifactRef, write: WritePiece) -> tuple[bytes, ...]:
    """Read all parts of a value through temporary buffers. Return their digests."""
    return _read(
        store,
        ref,
        allocate=_new_buffer,
        write=write,
        slots=BUFFERED_PART_SLOTS,
        piece_bytes=PART_BYTES if ref.compression is None else _PIECE_BYTES,
    )


def _read(
    store: ObjectReader,
    ref: ArtifactRef,
    allocate: AllocateBuffer,
    write: WritePiece,
    slots: PartSlots = PART_SLOTS,
    piece_bytes: int = PART_BYTES,
) -> tuple[bytes, ...]:
    """Read all parts of a value. Return their digests, which are verified.

    Args:
        store: Store that contains the value.
        ref: Reference to the value.
        allocate: Returns a buffer for a range of the value.
        write: Called with the start of a range and its buffer once that is filled.
        slots: Limit on parts at once if the value is not compressed.
        piece_bytes: Maximum size of a range.
    """

    def pieces(start: int, end: int) -> Iterator[tuple[int, memoryview]]:
        for first in range(start, end, piece_bytes):
            with allocate(first, min(first + piece_bytes, end)) as piece:
                yield first, piece
                write(first, piece)

    if ref.compression is None:
        read_part = _plain_reader(store, ref, pieces)
        digests = for_each_part(part_count(ref.size_bytes), read_part, slots)
    else:
        parts = frames_of_parts(ref.compression)
        read_part = _frames_reader(store, ref, ref.compression, parts, pieces)
        digests = for_each_part(len(parts), read_part, BUFFERED_PART_SLOTS)
    sha256 = digest_of_parts(digests)
    if sha256 != ref.sha256:
        raise damaged(store, ref, f"its bytes have the SHA-256 {sha256}, expected {ref.sha256}")
    return digests


def _plain_reader(
    store: ObjectReader, ref: ArtifactRef, pieces: PieceBuffers
) -> Callable[[int], bytes]:
    def read_part(index: int) -> bytes:
        digest = hashlib.sha256()
        for start, piece in pieces(*part_range(ref.size_bytes, index)):
            fetch(store, ref, start, piece)
            digest.update(piece)
        return digest.digest()

    return read_part


def _frames_reader(
    store: ObjectReader,
    ref: ArtifactRef,
    compression: Compression,
    parts: Sequence[range],
    pieces: PieceBuffers,
) -> Callable[[int], bytes]:
    starts = [0, *accumulate(compression.frames)]

    def read_part(index: int) -> bytes:
        digest = hashlib.sha256()
        for frames in _group_frames(parts[index], compression):
            first, last = starts[frames.start], starts[frames.stop]
            stored = _new_buffer(first, last)
            fetch(store, ref, first, stored)
            digest.update(stored)
            for number in frames:
                frame = stored[starts[number] - first : starts[number + 1] - first]
                targets = pieces(*part_range(compression.size_bytes, number))
                try:
                    decompress_frame(frame, (piece for _, piece in targets), compression.item_bytes)
                except ValueError as error:
                    reason = f"frame {number} of {len(compression.frames)}: {error}"
                    raise damaged(store, ref, reason) from error
        return digest.digest()

    return read_part


def _group_frames(frames: range, compression: Compression) -> Iterator[range]:
    """Group the frames of a part by request: each group has at most `PART_BYTES`."""
    first, size = frames.start, 0
    for number in frames:
        if number > first and size + compression.frames[number] > PART_BYTES:
            yield range(first, number)
            first, size = number, 0
        size += compression.frames[number]
    yield range(first, frames.stop)


def fetch(store: ObjectReader, ref: ArtifactRef, start: int, memory: memoryview) -> None:
    """Fill memory with stored bytes, and check the size of the object. The bytes are unverified."""
    _check_size(store, ref, store.read_into(ref.key, ref.offset + start, memory))


def checked_size(store: ObjectReader, ref: ArtifactRef) -> int:
    """Return the size of the value. A wrong size must not allocate memory or disk space.

    Raises:
        ArtifactNotFoundError: The object does not exist.
        DamagedArtifactError: The object has another size, or the ref is inconsistent.
    """
    if ref.offset + ref.size_bytes > ref.object_bytes:
        reason = f"the value ends at byte {ref.offset + ref.size_bytes} of {ref.object_bytes}"
        raise damaged(store, ref, f"its ref is inconsistent: {reason}")
    if ref.compression is not None:
        _check_frames(store, ref, ref.compression)
    # The response to a read reports the size, so a value of one request needs no separate check.
    if not 0 < ref.size_bytes <= PART_BYTES or ref.compression is not None:
        _check_size(store, ref, store.read_into(ref.key, 0, memoryview(b"")))
    return ref.value_bytes


def _check_frames(store: ObjectReader, ref: ArtifactRef, compression: Compression) -> None:
    frames, count = compression.frames, part_count(compression.size_bytes)
    if len(frames) != count:
        reason = f"{len(frames)} frames, expected {count} for {compression.size_bytes} bytes"
    elif sum(frames) != ref.size_bytes:
        reason = f"frames of {sum(frames)} bytes in total, expected {ref.size_bytes}"
    elif max(frames) > MAX_FRAME_BYTES:
        reason = f"a frame of {max(frames)} bytes, expected at most {MAX_FRAME_BYTES}"
    else:
        return
    raise damaged(store, ref, f"its ref is inconsistent: {reason}")


def _check_size(store: ObjectReader, ref: ArtifactRef, size: int) -> None:
    if size != ref.object_bytes:
        raise damaged(store, ref, f"it has {size} bytes, expected {ref.object_bytes}")


def allocate_value(size: int) -> memoryview:
    """Allocate memory for a value.

    Large memory is mapped, so that its pages are zeroed by the threads that fill them. A bytearray
    would be zeroed by this thread alone. With huge pages, that takes a fifth of the time.
    """
    if size < PART_BYTES:
        return memoryview(bytearray(size))
    try:
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(f"{size} bytes") from error
    if hasattr(mmap, "MADV_HUGEPAGE"):  # Linux
        with suppress(OSError):  # a kernel without them
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(memory)


def _new_buffer(start: int, end: int) -> memoryview:
    return memoryview(bytearray(end - start))


def _keep_in_place(_start: int, _part: memoryview) -> None:
    """Do nothing: the bytes were read into their final place, or only to verify them."""


def damaged(store: ObjectReader, ref: ArtifactRef, why: str) -> DamagedArtifactError:
    """Return the error for an object whose bytes are not those of the ref."""
    return DamagedArtifactError(
        what=f"Damaged object: {store.uri}/{ref.key}",
        why=why,
        fix="delete the object, then run the step that produces it again",
    )
