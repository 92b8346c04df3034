"""Contents that zstd makes smaller, in frames that are compressed and read in parallel.

Each frame holds `PART_BYTES` of the content, the last one the rest, and can be read by itself.
Whole frames make a part, so that S3's checksum of a part is that of its frames. The frames' sizes
stand in the value's ref.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import zstandard

from flowyml_aws.artifacts.content import (
    CHUNK_BYTES,
    Buffer,
    Content,
    Parts,
    part_count,
    part_range,
)
from flowyml_aws.artifacts.parallel import PARTS, for_each_part
from flowyml_aws.artifacts.refs import Compression

__all__ = ["CompressedContent", "compress_if_it_pays", "frames_of_parts", "inflate"]

_LEVEL = 1
_SAMPLES, _SAMPLE_BYTES = 8, 64 * 1024
_LEAST_BYTES = _SAMPLES * _SAMPLE_BYTES  # of a content; what is smaller is sent in no time
_PAYS = 0.8  # of the sample's size, at most
_AT_ONCE = max(1, PARTS // 4)  # frames in memory
_LEAST_PART_BYTES = 5 * 1024 * 1024  # Amazon S3 User Guide, "Multipart upload limits"
_MOST_PARTS = 9_000  # of 10,000 there


class CompressedContent(Parts):
    """A content in zstd frames, which lie in a temporary file until they are stored.

    Raises:
        OSError: The disk has no room for them.

    Attributes:
        compression: The frames' sizes, and that of the content.
    """

    def __init__(self, content: Content) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as this
        weakref.finalize(self, self._file.close)
        sizes: list[int] = []
        digests: list[bytes] = []
        self._part_sizes: list[int] = []
        digest, size = hashlib.sha256(), 0
        least = _least_part_bytes(content.size_bytes)
        count = part_count(content.size_bytes)
        for number, frame in enumerate(_frames(content, count)):
            sizes.append(sum(map(len, frame)))
            size += sizes[-1]
            for chunk in frame:
                digest.update(chunk)
                self._file.write(chunk)
            if size >= least or number == count - 1:
                digests.append(digest.digest())
                self._part_sizes.append(size)
                digest, size = hashlib.sha256(), 0
        self._file.flush()
        self._digests = tuple(digests)
        self.compression = Compression(size_bytes=content.size_bytes, frames=tuple(sizes))

    @property
    def part_sizes(self) -> Sequence[int]:
        """Of some frames each."""
        return self._part_sizes

    def part(self, index: int) -> Iterator[Buffer]:
        """The frames of a part."""
        start = sum(self._part_sizes[:index])
        end = start + self._part_sizes[index]
        while start < end:
            chunk = os.pread(self._file.fileno(), min(CHUNK_BYTES, end - start), start)
            yield chunk
            start += len(chunk)


def _frames(content: Content, count: int) -> Iterator[list[bytes]]:
    """All frames in order, some at a time."""
    for first in range(0, count, _AT_ONCE):
        made = for_each_part(min(_AT_ONCE, count - first), partial(_frame, content, first))
        yield from made


def _frame(content: Content, first: int, index: int) -> list[bytes]:
    start, end = part_range(content.size_bytes, first + index)
    compressor = zstandard.ZstdCompressor(level=_LEVEL).compressobj(size=end - start)
    made = [compressor.compress(chunk) for chunk in content.between(start, end)]
    return [*made, compressor.flush()]


def compress_if_it_pays(content: Content) -> Content | CompressedContent:
    """The content compressed where a sample of it shrinks, else as it is."""
    if content.size_bytes < _LEAST_BYTES:
        return content
    compressor = zstandard.ZstdCompressor(level=_LEVEL)
    step = (content.size_bytes - _SAMPLE_BYTES) // (_SAMPLES - 1)
    samples = [
        b"".join(content.between(number * step, number * step + _SAMPLE_BYTES))
        for number in range(_SAMPLES)
    ]
    if sum(len(compressor.compress(sample)) for sample in samples) > _PAYS * _LEAST_BYTES:
        return content
    try:
        made = CompressedContent(content)
    except OSError:  # no room on the disk: it goes as it is
        return content
    return made if made.size_bytes < content.size_bytes else content


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


def inflate(frame: memoryview, targets: Iterable[memoryview]) -> None:
    """Fill buffers, one after the other, with what a frame holds.

    Raises:
        ValueError: It is no frame, or one of another size.
    """
    try:
        with zstandard.ZstdDecompressor().stream_reader(frame) as reader:
            for target in targets:
                filled = 0
                while filled < len(target) and (count := reader.readinto(target[filled:])):
                    filled += count
                if filled < len(target):
                    raise ValueError("a frame holds less than its ref says")
            if reader.read(1):
                raise ValueError("a frame holds more than its ref says")
    except zstandard.ZstdError as error:
        raise ValueError(f"a frame is damaged: {error}") from error


def _least_part_bytes(size_bytes: int) -> int:
    return max(_LEAST_PART_BYTES, size_bytes // _MOST_PARTS)
