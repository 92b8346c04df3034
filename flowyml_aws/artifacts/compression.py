"""Contents that zstd makes smaller, in frames that are compressed and read in parallel.

Each frame holds `PART_BYTES` of the content, the last one the rest, and can be read by itself.
Whole frames make a part, so that S3's checksum of a part is that of its frames. The frames' sizes
stand in the value's ref, and so does whether its numbers are shuffled.
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
from flowyml_aws.artifacts.shuffle import shuffled, unshuffle

__all__ = [
    "MOST_FRAME_BYTES",
    "CompressedContent",
    "compress_if_it_pays",
    "frames_of_parts",
    "inflate",
]

MOST_FRAME_BYTES = PART_BYTES + PART_BYTES // 128
"""No frame has more: zstd adds at most a 256th to what it can't make smaller."""

_LEVEL = 1
_SAMPLES, _SAMPLE_BYTES = 8, 64 * 1024
_LEAST_BYTES = _SAMPLES * _SAMPLE_BYTES  # of a content; what is smaller is sent in no time
_PAYS = 0.8  # of the size, at most: what is read is inflated, too
_LEAST_PART_BYTES = 5 * 1024 * 1024  # Amazon S3 User Guide, "Multipart upload limits"
_MOST_PARTS = 9_000  # of 10,000 there


class CompressedContent(Parts):
    """A content in zstd frames, which lie in a temporary file until they are stored.

    Args:
        content: What to compress.
        item_bytes: More than 1 to shuffle numbers of so many bytes before.

    Raises:
        OSError: The disk has no room for them.

    Attributes:
        compression: The frames' sizes, and that of the content.
    """

    def __init__(self, content: Content, item_bytes: ItemBytes = 1) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # lives as long as this
        weakref.finalize(self, self._file.close)
        count = part_count(content.size_bytes)
        sizes = for_each_part(count, partial(self._write_frame, content, item_bytes))
        self.compression = Compression(
            size_bytes=content.size_bytes, frames=sizes, item_bytes=item_bytes
        )
        self._parts = frames_of_parts(self.compression)

    @property
    def part_sizes(self) -> Sequence[int]:
        """Of some frames each."""
        return [sum(self.compression.frames[n] for n in frames) for frames in self._parts]

    def part(self, index: int) -> Iterator[Buffer]:
        """The frames of a part."""
        for number in self._parts[index]:
            at = _place(number)
            end = at + self.compression.frames[number]
            while at < end:
                chunk = os.pread(self._file.fileno(), min(CHUNK_BYTES, end - at), at)
                yield chunk
                at += len(chunk)

    def _write_frame(self, content: Content, item_bytes: ItemBytes, number: int) -> int:
        """Compress a frame into its place in the file; how many bytes it has."""
        size = 0
        for some in _frame(content, item_bytes, number):
            write_at(self._file, memoryview(some), _place(number) + size)
            size += len(some)
        return size


def _place(number: int) -> int:
    """Where a frame begins in the file. What lies between two takes no disk."""
    return number * MOST_FRAME_BYTES


def _frame(content: Content, item_bytes: ItemBytes, number: int) -> Iterator[bytes]:
    start, end = part_range(content.size_bytes, number)
    compressor = zstandard.ZstdCompressor(level=_LEVEL).compressobj(size=end - start)
    for first in range(start, end, CHUNK_BYTES):  # what comes out of each is in memory
        for some in _as_stored(content, item_bytes, first, min(first + CHUNK_BYTES, end)):
            yield compressor.compress(some)
    yield compressor.flush()


def _as_stored(content: Content, item_bytes: ItemBytes, start: int, end: int) -> Iterator[Buffer]:
    if item_bytes == 1:
        yield from content.between(start, end)
    else:
        yield shuffled(_joined(content, start, end), item_bytes)


def _joined(content: Content, start: int, end: int) -> bytes:
    return b"".join(content.between(start, end))


def _compressed_bytes(samples: Iterable[Buffer], item_bytes: ItemBytes) -> int:
    compressor = zstandard.ZstdCompressor(level=_LEVEL)
    if item_bytes > 1:
        samples = [shuffled(sample, item_bytes) for sample in samples]
    return sum(len(compressor.compress(sample)) for sample in samples)


def compress_if_it_pays(content: Content) -> Content | CompressedContent:
    """The content compressed where a sample of it shrinks, shuffled or not, else as it is."""
    if content.size_bytes < _LEAST_BYTES:
        return content
    step = (content.size_bytes - _SAMPLE_BYTES) // (_SAMPLES - 1)
    samples = [_joined(content, n * step, n * step + _SAMPLE_BYTES) for n in range(_SAMPLES)]
    ways: set[ItemBytes] = {1, content.item_bytes}
    size, item_bytes = min((_compressed_bytes(samples, way), way) for way in ways)
    if size > _PAYS * _LEAST_BYTES:
        return content
    try:
        made = CompressedContent(content, item_bytes)
    except OSError:  # no room on the disk: it goes as it is
        return content
    return made if made.size_bytes <= _PAYS * content.size_bytes else content


def frames_of_parts(compression: Compression) -> list[range]:
    """Which frames make each part: as few as are large enough together."""
    least = _least_part_bytes(compression.size_bytes)
    parts: list[range] = []
    first, size = 0, 0
    for number, frame_bytes in enumerate(compression.frames):
        size += frame_bytes
        if size >= least or number == len(compression.frames) - 1:
            parts.append(range(first, number + 1))
            first, size = number + 1, 0
    return parts


def inflate(frame: memoryview, targets: Iterable[memoryview], item_bytes: ItemBytes = 1) -> None:
    """Fill buffers, one after the other, with what a frame holds.

    Args:
        frame: All of it.
        targets: Of whole `CHUNK_BYTES`, but for the last, where numbers are shuffled.
        item_bytes: As in the ref.

    Raises:
        ValueError: It is no frame, or one of another size.
    """
    scratch = memoryview(bytearray(CHUNK_BYTES if item_bytes > 1 else 0))
    held = 0
    try:
        with zstandard.ZstdDecompressor(max_window_size=PART_BYTES).stream_reader(frame) as reader:
            for piece in _in_chunks(targets):
                memory = scratch[: len(piece)] if item_bytes > 1 else piece
                filled = 0
                while filled < len(memory) and (count := reader.readinto(memory[filled:])):
                    filled += count
                held += filled
                if filled < len(memory):
                    raise ValueError(f"it holds {held} bytes, less than expected")
                if item_bytes > 1:
                    unshuffle(memory, item_bytes, piece)
            if reader.read(1):
                raise ValueError(f"it holds more than {held} bytes, as were expected")
    except zstandard.ZstdError as error:
        raise ValueError(f"it is damaged: {error}") from error


def _in_chunks(targets: Iterable[memoryview]) -> Iterator[memoryview]:
    for target in targets:
        for first in range(0, len(target), CHUNK_BYTES):
            yield target[first : first + CHUNK_BYTES]


def _least_part_bytes(size_bytes: int) -> int:
    return max(_LEAST_PART_BYTES, size_bytes // _MOST_PARTS)
