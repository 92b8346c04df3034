"""Compression with zstd, in frames that are compressed and decompressed in parallel.

Each frame contains `PART_BYTES` of the content (the last one contains the rest) and can be
decompressed by itself. A part consists of whole frames, so that S3's checksum of a part covers
exactly its frames. The value's ref records the frames' sizes, and whether numbers are shuffled.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import zstandard

from flowyml_aws.artifacts.content import (
    CHUNK_BYTES,
    PART_BYTES,
    Buffer,
    Content,
    Parts,
    part_count,
    part_range,
    write_at,
)
from flowyml_aws.artifacts.parallel import for_each_part
from flowyml_aws.artifacts.refs import Compression, ItemBytes
from flowyml_aws.artifacts.shuffle import shuffle, unshuffle

__all__ = [
    "MAX_FRAME_BYTES",
    "CompressedContent",
    "compress_if_worthwhile",
    "decompress_frame",
    "frames_of_parts",
]

MAX_FRAME_BYTES = PART_BYTES + PART_BYTES // 128
"""Maximum size of a frame. zstd adds at most a 256th to data that it can't compress."""

_LEVEL = 1
_SAMPLES, _SAMPLE_BYTES = 8, 64 * 1024
_MIN_BYTES = _SAMPLES * _SAMPLE_BYTES  # compressing less content saves no time
_MAX_RATIO = 0.8  # compressed to original size; decompression takes time, too
_MIN_PART_BYTES = 5 * 1024 * 1024  # Amazon S3 User Guide, "Multipart upload limits"
_MAX_PARTS = 9_000  # S3 allows 10,000


class CompressedContent(Parts):
    """Content in zstd frames, which are in a temporary file until they are stored.

    Args:
        content: Content to compress.
        item_bytes: Size of the numbers to shuffle before compression; 1 to shuffle nothing.

    Raises:
        OSError: The disk has no space for the frames.

    Attributes:
        compression: Sizes of the frames and of the uncompressed content.
    """

    def __init__(self, content: Content, item_bytes: ItemBytes = 1) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # closed with this object
        weakref.finalize(self, self._file.close)
        count = part_count(content.size_bytes)
        sizes = for_each_part(count, partial(self._write_frame, content, item_bytes))
        self.compression = Compression(
            size_bytes=content.size_bytes, frames=sizes, item_bytes=item_bytes
        )
        self._parts = frames_of_parts(self.compression)

    @property
    def part_sizes(self) -> Sequence[int]:
        """Size of each part in bytes; a part consists of whole frames."""
        return [sum(self.compression.frames[n] for n in frames) for frames in self._parts]

    def part(self, index: int) -> Iterator[Buffer]:
        """Yield the frames of a part."""
        for number in self._parts[index]:
            offset = _frame_offset(number)
            end = offset + self.compression.frames[number]
            while offset < end:
                chunk = os.pread(self._file.fileno(), min(CHUNK_BYTES, end - offset), offset)
                yield chunk
                offset += len(chunk)

    def _write_frame(self, content: Content, item_bytes: ItemBytes, number: int) -> int:
        """Compress a frame into its place in the file. Return its size in bytes."""
        size = 0
        for chunk in _compress_frame(content, item_bytes, number):
            write_at(self._file, memoryview(chunk), _frame_offset(number) + size)
            size += len(chunk)
        return size


def _frame_offset(number: int) -> int:
    """Return the offset of a frame in the file. Gaps between frames use no disk space."""
    return number * MAX_FRAME_BYTES


def _compress_frame(content: Content, item_bytes: ItemBytes, number: int) -> Iterator[bytes]:
    start, end = part_range(content.size_bytes, number)
    compressor = zstandard.ZstdCompressor(level=_LEVEL).compressobj(size=end - start)
    for first in range(start, end, CHUNK_BYTES):  # limits the output in memory
        for data in _compressor_input(content, item_bytes, first, min(first + CHUNK_BYTES, end)):
            yield compressor.compress(data)
    yield compressor.flush()


def _compressor_input(
    content: Content, item_bytes: ItemBytes, start: int, end: int
) -> Iterator[Buffer]:
    if item_bytes == 1:
        yield from content.between(start, end)
    else:
        yield shuffle(_read_range(content, start, end), item_bytes)


def _read_range(content: Content, start: int, end: int) -> bytes:
    return b"".join(content.between(start, end))


def _compressed_size(samples: Iterable[Buffer], item_bytes: ItemBytes) -> int:
    compressor = zstandard.ZstdCompressor(level=_LEVEL)
    if item_bytes > 1:
        samples = [shuffle(sample, item_bytes) for sample in samples]
    return sum(len(compressor.compress(sample)) for sample in samples)


def compress_if_worthwhile(content: Content) -> Content | CompressedContent:
    """Compress content if a sample of it shrinks, shuffled or not. Otherwise return it as it is."""
    if content.size_bytes < _MIN_BYTES:
        return content
    step = (content.size_bytes - _SAMPLE_BYTES) // (_SAMPLES - 1)
    samples = [_read_range(content, n * step, n * step + _SAMPLE_BYTES) for n in range(_SAMPLES)]
    options: set[ItemBytes] = {1, content.item_bytes}
    size, item_bytes = min((_compressed_size(samples, option), option) for option in options)
    if size > _MAX_RATIO * _MIN_BYTES:
        return content
    try:
        compressed = CompressedContent(content, item_bytes)
    except OSError:  # no disk space: the content is stored uncompressed
        return content
    return compressed if compressed.size_bytes <= _MAX_RATIO * content.size_bytes else content


def frames_of_parts(compression: Compression) -> list[range]:
    """Return the frames of each part: as few as reach the minimum size of a part."""
    min_bytes = _min_part_bytes(compression.size_bytes)
    parts: list[range] = []
    first, size = 0, 0
    for number, frame_bytes in enumerate(compression.frames):
        size += frame_bytes
        if size >= min_bytes or number == len(compression.frames) - 1:
            parts.append(range(first, number + 1))
            first, size = number + 1, 0
    return parts


def decompress_frame(
    frame: memoryview, targets: Iterable[memoryview], item_bytes: ItemBytes = 1
) -> None:
    """Decompress a frame into buffers, which are filled one after the other.

    Args:
        frame: Bytes of the whole frame.
        targets: Buffers to fill. If numbers are shuffled, the sizes of all except the last must be
            multiples of `CHUNK_BYTES`.
        item_bytes: Size of the shuffled numbers, from the ref.

    Raises:
        ValueError: The frame is damaged, or its size differs from that of the targets.
    """
    scratch = memoryview(bytearray(CHUNK_BYTES if item_bytes > 1 else 0))
    total = 0
    try:
        with zstandard.ZstdDecompressor(max_window_size=PART_BYTES).stream_reader(frame) as reader:
            for piece in _in_chunks(targets):
                memory = scratch[: len(piece)] if item_bytes > 1 else piece
                filled = 0
                while filled < len(memory) and (count := reader.readinto(memory[filled:])):
                    filled += count
                total += filled
                if filled < len(memory):
                    raise ValueError(f"it contains {total} bytes, fewer than expected")
                if item_bytes > 1:
                    unshuffle(memory, item_bytes, piece)
            if reader.read(1):
                raise ValueError(f"it contains more than the {total} bytes that were expected")
    except zstandard.ZstdError as error:
        raise ValueError(f"it is not valid zstd data: {error}") from error


def _in_chunks(targets: Iterable[memoryview]) -> Iterator[memoryview]:
    for target in targets:
        for first in range(0, len(target), CHUNK_BYTES):
            yield target[first : first + CHUNK_BYTES]


def _min_part_bytes(size_bytes: int) -> int:
    return max(_MIN_PART_BYTES, size_bytes // _MAX_PARTS)
