"""Bytes of a stored value by range, in blocks that are read and verified as a whole.

A block is `PART_BYTES` of the uncompressed value (the last one is the rest): a part of an
uncompressed object, or the content of a frame of a compressed one. The digests of the parts prove
the digest of the value, so a part proves its bytes without the others.
"""

from __future__ import annotations

import hashlib
import threading
from bisect import bisect_right
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate

from flowyml_aws.artifacts.compression import decompress_frame, frames_of_parts
from flowyml_aws.artifacts.content import PART_BYTES, part_range
from flowyml_aws.artifacts.parallel import BUFFERED_PART_SLOTS, for_each_part
from flowyml_aws.artifacts.reading import (
    ObjectReader,
    allocate_value,
    checked_size,
    damaged,
    fetch,
    part_digests,
)
from flowyml_aws.artifacts.refs import ArtifactRef, Compression

__all__ = ["VerifiedBytes"]

_KEPT_BLOCKS = 4
_KEPT_PARTS = 2


class VerifiedBytes:
    """The bytes of a value, read by range. Threads may share it.

    The blocks at both ends of a range are kept for the next ranges.

    Args:
        store: Store that contains the value.
        ref: Reference to the value.
        kept_blocks: Number of blocks that are kept. None to keep those that were used in this or
            the previous turn (`begin_turn`).
    """

    def __init__(
        self, store: ObjectReader, ref: ArtifactRef, kept_blocks: int | None = _KEPT_BLOCKS
    ) -> None:
        self._store, self._ref, self._kept_blocks = store, ref, kept_blocks
        self._lock = threading.Lock()
        self._loading: defaultdict[tuple[str, int], threading.Lock] = defaultdict(threading.Lock)
        self._blocks: OrderedDict[int, memoryview] = OrderedDict()
        self._parts: OrderedDict[int, memoryview] = OrderedDict()
        self._used: set[int] = set()

    def begin_turn(self) -> None:
        """Drop the blocks that were not used since the last turn began."""
        with self._lock:
            for number in self._blocks.keys() - self._used:
                del self._blocks[number]
            self._used.clear()

    @property
    def size_bytes(self) -> int:
        """Size of the uncompressed value."""
        return self._ref.value_bytes

    def read(self, start: int, end: int) -> memoryview:
        """Return the verified bytes of a range, in writable memory of exactly their size.

        Raises:
            ArtifactNotFoundError: The object does not exist.
            DamagedArtifactError: The bytes are not those of the ref.
            ValueError: The range is not within the value.
        """
        if not 0 <= start <= end <= self.size_bytes:
            raise ValueError(f"no bytes {start} to {end} in a value of {self.size_bytes}")
        memory = allocate_value(end - start)
        self.read_into(start, memory)
        return memory

    def read_into(self, start: int, memory: memoryview) -> None:
        """Fill memory with the verified bytes from an offset. The errors are those of `read`."""
        _ = self._digests  # read once, and not by several threads
        end = start + len(memory)
        blocks = range(start // PART_BYTES, -(-end // PART_BYTES)) if memory else range(0)

        def copy(index: int) -> None:
            number = blocks[index]
            first, last = part_range(self.size_bytes, number)
            block = self._block(number, is_kept=number in (blocks[0], blocks[-1]))
            low, high = max(start, first), min(end, last)
            memory[low - start : high - start] = block[low - first : high - first]

        for_each_part(len(blocks), copy, BUFFERED_PART_SLOTS)

    def _block(self, number: int, is_kept: bool) -> memoryview:
        with self._loading["block", number]:  # threads that need the same block read it once
            with self._lock:
                self._used.add(number)
                if (block := self._blocks.get(number)) is not None:
                    self._blocks.move_to_end(number)
                    return block
            compression = self._ref.compression
            if compression is None:
                block = self._verified(number, *part_range(self._ref.size_bytes, number))
            else:
                block = self._frame(number, compression)
            if is_kept:
                self._keep(self._blocks, number, block, self._kept_blocks)
            return block

    def _frame(self, number: int, compression: Compression) -> memoryview:
        part = bisect_right(self._frames, number, key=lambda frames: frames.start) - 1
        starts, frames = self._frame_starts, self._frames[part]
        first = starts[frames.start]
        with self._loading["part", part]:
            stored = self._parts.get(part)
            if stored is None:
                stored = self._verified(part, first, starts[frames.stop])
                if len(frames) > 1:
                    self._keep(self._parts, part, stored, _KEPT_PARTS)
        low, high = part_range(self.size_bytes, number)
        block = memoryview(bytearray(high - low))
        frame = stored[starts[number] - first : starts[number + 1] - first]
        try:
            decompress_frame(frame, (block,), compression.item_bytes)
        except ValueError as error:
            reason = f"frame {number} of {len(compression.frames)}: {error}"
            raise damaged(self._store, self._ref, reason) from error
        return block

    def _verified(self, part: int, start: int, end: int) -> memoryview:
        """Return the stored bytes of a part."""
        memory = memoryview(bytearray(end - start))
        fetch(self._store, self._ref, start, memory)
        found, expected = hashlib.sha256(memory).digest(), self._digests[part]
        if found != expected:
            reason = f"part {part + 1} of {len(self._digests)} has the SHA-256 {found.hex()}"
            raise damaged(self._store, self._ref, f"{reason}, expected {expected.hex()}")
        return memory

    @cached_property
    def _digests(self) -> Sequence[bytes]:
        checked_size(self._store, self._ref)
        return part_digests(self._store, self._ref)

    @cached_property
    def _frames(self) -> Sequence[range]:
        assert self._ref.compression is not None
        return frames_of_parts(self._ref.compression)

    @cached_property
    def _frame_starts(self) -> Sequence[int]:
        assert self._ref.compression is not None
        return [0, *accumulate(self._ref.compression.frames)]

    def _keep(
        self,
        kept: OrderedDict[int, memoryview],
        number: int,
        memory: memoryview,
        limit: int | None,
    ) -> None:
        """Keep memory, and drop what was used least recently."""
        with self._lock:
            kept[number] = memory
            while limit is not None and len(kept) > limit:
                kept.popitem(last=False)
