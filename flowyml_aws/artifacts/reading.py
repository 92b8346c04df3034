"""Verified bytes out of a store, into memory or onto disk, several parts at a time."""

from __future__ import annotations

import hashlib
import io
import mmap
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path

from flowyml_aws.artifacts.compression import MOST_FRAME_BYTES, frames_of_parts, inflate
from flowyml_aws.artifacts.content import (
    PART_BYTES,
    Buffer,
    digest_of_parts,
    part_count,
    part_range,
    write_at,
)
from flowyml_aws.artifacts.layout import artifact_key
from flowyml_aws.artifacts.parallel import LANES, ROOMY_LANES, Lanes, for_each_part
from flowyml_aws.artifacts.refs import ArtifactRef, Compression
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.errors import DamagedArtifactError

__all__ = ["read_to_bytes", "read_to_file", "read_to_memory"]

Room = Callable[[int, int], memoryview]
Put = Callable[[int, memoryview], None]
Pieces = Callable[[int, int], Iterator["tuple[int, memoryview]"]]

_PIECE_BYTES = 4 * 1024 * 1024  # of an inflated part on its way: its frame is in memory, too


def read_to_memory(store: ArtifactStore, ref: ArtifactRef) -> memoryview:
    """A value's bytes, proven by their digest, in writable memory of exactly their size.

    Raises:
        ArtifactNotFoundError: Nothing lies there.
        DamagedArtifactError: The bytes are others.
        MemoryError: There is not so much memory.
    """
    data = _memory_of_a_value(_checked_size(store, ref))
    _read(store, ref, lambda start, end: data[start:end], _stays)
    return data


def read_to_bytes(store: ArtifactStore, ref: ArtifactRef) -> bytes:
    """The same as `bytes`, which nothing else could write in place.

    Raises:
        ArtifactNotFoundError: Nothing lies there.
        DamagedArtifactError: The bytes are others.
    """
    size = _checked_size(store, ref)
    # The one way to `bytes` without a second copy of all: a BytesIO hands out its own memory. No
    # view of it is read into: the traceback of a failed read would keep the view, and collecting
    # such a one crashes CPython 3.12.0 and 3.12.1 (python/cpython issue 111049).
    data, turn = io.BytesIO(), threading.Lock()

    def put(start: int, piece: Buffer) -> None:
        with turn:
            data.seek(start)
            data.write(piece)

    if size:
        put(size - 1, b"\0")
    _read_through(store, ref, put)
    return data.getvalue()


def read_to_file(store: ArtifactStore, ref: ArtifactRef, path: Path) -> None:
    """Write a value's bytes to a new file, in constant memory.

    Raises:
        ArtifactNotFoundError: Nothing lies there.
        DamagedArtifactError: The bytes are others. The file must not be used.
    """
    _checked_size(store, ref)
    with path.open("xb", buffering=0) as file:
        _read_through(store, ref, lambda start, piece: write_at(file, piece, start))


def _read_through(store: ArtifactStore, ref: ArtifactRef, put: Put) -> None:
    """Read all parts of a value through memory of their own."""
    _read(
        store,
        ref,
        room=_new_memory,
        put=put,
        lanes=ROOMY_LANES,
        piece_bytes=PART_BYTES if ref.compression is None else _PIECE_BYTES,
    )


def _read(
    store: ArtifactStore,
    ref: ArtifactRef,
    room: Room,
    put: Put,
    lanes: Lanes = LANES,
    piece_bytes: int = PART_BYTES,
) -> None:
    """Read all parts of a value.

    Args:
        store: Where it lies.
        ref: Which it is.
        room: Memory for the bytes of a range of the value.
        put: Called with it, once it is filled, and where the range starts.
        lanes: For parts that are not compressed.
        piece_bytes: Of such a range, at most.
    """

    def pieces(start: int, end: int) -> Iterator[tuple[int, memoryview]]:
        for first in range(start, end, piece_bytes):
            with room(first, min(first + piece_bytes, end)) as piece:
                yield first, piece
                put(first, piece)

    if ref.compression is None:
        read_part = _plain_reader(store, ref, pieces)
        digests = for_each_part(part_count(ref.size_bytes), read_part, lanes)
    else:
        parts = frames_of_parts(ref.compression)
        read_part = _frames_reader(store, ref, ref.compression, parts, pieces)
        digests = for_each_part(len(parts), read_part, ROOMY_LANES)
    found = digest_of_parts(digests)
    if found != ref.sha256:
        raise _damaged(store, ref, f"its bytes have the SHA-256 {found}, expected {ref.sha256}")


def _plain_reader(store: ArtifactStore, ref: ArtifactRef, pieces: Pieces) -> Callable[[int], bytes]:
    def read_part(index: int) -> bytes:
        digest = hashlib.sha256()
        for start, piece in pieces(*part_range(ref.size_bytes, index)):
            _fetch(store, ref, start, piece)
            digest.update(piece)
        return digest.digest()

    return read_part


def _frames_reader(
    store: ArtifactStore,
    ref: ArtifactRef,
    compression: Compression,
    parts: Sequence[range],
    pieces: Pieces,
) -> Callable[[int], bytes]:
    starts = [0, *accumulate(compression.frames)]

    def read_part(index: int) -> bytes:
        digest = hashlib.sha256()
        for frames in _read_at_once(parts[index], compression):
            first, last = starts[frames.start], starts[frames.stop]
            stored = _new_memory(first, last)
            _fetch(store, ref, first, stored)
            digest.update(stored)
            for number in frames:
                frame = stored[starts[number] - first : starts[number + 1] - first]
                targets = pieces(*part_range(compression.size_bytes, number))
                try:
                    inflate(frame, (piece for _, piece in targets), compression.item_bytes)
                except ValueError as error:
                    told = f"frame {number} of {len(compression.frames)}: {error}"
                    raise _damaged(store, ref, told) from error
        return digest.digest()

    return read_part


def _read_at_once(frames: range, compression: Compression) -> Iterator[range]:
    """A part's frames, of which so many go together as have the bytes of a part, at most."""
    first, size = frames.start, 0
    for number in frames:
        if number > first and size + compression.frames[number] > PART_BYTES:
            yield range(first, number)
            first, size = number, 0
        size += compression.frames[number]
    yield range(first, frames.stop)


def _fetch(store: ArtifactStore, ref: ArtifactRef, start: int, memory: memoryview) -> None:
    """Fill memory with stored bytes."""
    _check_size(store, ref, store.read_into(artifact_key(ref.sha256), start, memory))


def _checked_size(store: ArtifactStore, ref: ArtifactRef) -> int:
    """Bytes of the value. A size that is not true must take neither memory nor disk."""
    if ref.compression is not None:
        _check_frames(store, ref, ref.compression)
    # Of what is read in one go, the answer tells the size.
    if not 0 < ref.size_bytes <= PART_BYTES or ref.compression is not None:
        _check_size(store, ref, store.read_into(artifact_key(ref.sha256), 0, memoryview(b"")))
    return ref.value_bytes


def _check_frames(store: ArtifactStore, ref: ArtifactRef, compression: Compression) -> None:
    frames, count = compression.frames, part_count(compression.size_bytes)
    if len(frames) != count:
        told = f"{len(frames)} frames, expected {count} for {compression.size_bytes} bytes"
    elif sum(frames) != ref.size_bytes:
        told = f"frames of {sum(frames)} bytes together, expected {ref.size_bytes}"
    elif max(frames) > MOST_FRAME_BYTES:
        told = f"a frame of {max(frames)} bytes, expected at most {MOST_FRAME_BYTES}"
    else:
        return
    raise _damaged(store, ref, f"its ref contradicts itself: {told}")


def _check_size(store: ArtifactStore, ref: ArtifactRef, size: int) -> None:
    if size != ref.size_bytes:
        raise _damaged(store, ref, f"it has {size} bytes, expected {ref.size_bytes}")


def _memory_of_a_value(size: int) -> memoryview:
    """Memory that, where it is much, is taken page by page by the threads that fill it.

    A bytearray would be zeroed before by this one alone.
    """
    if size < PART_BYTES:
        return memoryview(bytearray(size))
    try:
        return memoryview(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
    except OSError as error:
        raise MemoryError(f"{size} bytes") from error


def _new_memory(start: int, end: int) -> memoryview:
    return memoryview(bytearray(end - start))


def _stays(_start: int, _part: memoryview) -> None:
    """What is read into its place need not be put anywhere."""


def _damaged(store: ArtifactStore, ref: ArtifactRef, why: str) -> DamagedArtifactError:
    return DamagedArtifactError(
        what=f"{store.uri}/{artifact_key(ref.sha256)} is damaged",
        why=why,
        fix="remove the object, then run what produces it again",
    )
