from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from flowyml_aws.artifacts.compression import (
    CompressedContent,
    compress_if_worthwhile,
    decompress_frame,
    frames_of_parts,
)
from flowyml_aws.artifacts.content import PART_BYTES, Content, FilePiece, Parts
from flowyml_aws.artifacts.layout import artifact_key
from flowyml_aws.artifacts.reading import read_to_bytes, read_to_file, read_to_memory
from flowyml_aws.artifacts.refs import ArtifactRef, Compression, ItemBytes
from flowyml_aws.artifacts.shuffle import shuffle, unshuffle
from flowyml_aws.local.directory import DirectoryArtifactStore
from tests.support.effort import examples

MIB = 1 << 20
MIN_PART_BYTES = 5 * MIB


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def frame_of(data: bytes) -> memoryview:
    return memoryview(zstandard.ZstdCompressor().compress(data))


def content_of(parts: Parts) -> bytes:
    """Decompress with zstandard alone, as a reader without this package does."""
    with zstandard.ZstdDecompressor().stream_reader(
        b"".join(parts.chunks()), read_across_frames=True
    ) as reader:
        return reader.read()


def test_compressible_content_is_compressed() -> None:
    data = noise(2 * MIB).hex().encode()
    compressed = compress_if_worthwhile(Content(data))
    assert isinstance(compressed, CompressedContent)
    assert compressed.size_bytes < 0.6 * len(data)
    assert compressed.compression.size_bytes == len(data)
    assert content_of(compressed) == data


@pytest.mark.parametrize("data", [noise(MIB), bytes(100_000), b""], ids=["noise", "small", "empty"])
def test_small_or_incompressible_content_is_not_compressed(data: bytes) -> None:
    content = Content(data)
    assert compress_if_worthwhile(content) is content


def test_content_that_shrinks_less_than_its_sample_is_not_compressed() -> None:
    data = bytearray(noise(8 * MIB))
    step = (len(data) - 64 * 1024) // 7
    for number in range(8):
        data[number * step : number * step + 64 * 1024] = bytes(64 * 1024)
    content = Content(data)
    assert compress_if_worthwhile(content) is content


def test_content_is_not_compressed_without_disk_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    content = Content(bytes(MIB))
    assert compress_if_worthwhile(content) is content


def test_compression_is_deterministic() -> None:
    data = noise(9 * MIB).hex().encode()
    first, second = (CompressedContent(Content(each)) for each in (data, bytearray(data)))
    assert first.sha256 == second.sha256


def test_parts_consist_of_whole_frames_and_have_sizes_that_s3_accepts() -> None:
    data = bytes(5 * PART_BYTES) + noise(PART_BYTES) + b"rest"
    compressed = CompressedContent(Content(data))
    assert len(compressed.compression.frames) == 7
    assert len(compressed.part_sizes) == 2
    assert min(compressed.part_sizes[:-1]) >= MIN_PART_BYTES
    assert [sum(map(len, compressed.part(n))) for n in range(2)] == compressed.part_sizes


@given(st.integers(1, 10**13), st.randoms(use_true_random=False))
def test_parts_contain_each_frame_once_in_order_within_the_limits_of_s3(
    size: int, generator: random.Random
) -> None:
    count = min(-(-size // PART_BYTES), 20_000)
    frames = tuple(generator.choice((20, PART_BYTES // 3, PART_BYTES)) for _ in range(count))
    parts = frames_of_parts(Compression(size_bytes=size, frames=frames))
    assert [number for part in parts for number in part] == list(range(count))
    assert all(sum(frames[n] for n in part) >= MIN_PART_BYTES for part in parts[:-1])
    assert len(parts) <= 10_000


def counts(size: int) -> bytes:
    """Return small numbers of four bytes each."""
    return b"".join(number.to_bytes(4, "little") for number in noise(-(-size // 4)))[:size]


def test_numbers_are_shuffled_if_that_makes_them_smaller() -> None:
    numbers = Content(counts(2 * MIB), item_bytes=4)
    text = Content(noise(MIB).hex().encode(), item_bytes=4)
    compressed = {
        name: compress_if_worthwhile(each) for name, each in (("n", numbers), ("t", text))
    }
    assert isinstance(compressed["n"], CompressedContent)
    assert compressed["n"].compression.item_bytes == 4
    assert compressed["n"].size_bytes < 0.9 * CompressedContent(numbers).size_bytes
    assert isinstance(compressed["t"], CompressedContent)
    assert compressed["t"].compression.item_bytes == 1


@given(data=st.binary(max_size=100), item_bytes=st.sampled_from([2, 4, 8, 16]))
@example(data=bytes(range(9)), item_bytes=4)
def test_unshuffle_restores_shuffled_bytes(data: bytes, item_bytes: int) -> None:
    shuffled = shuffle(data, item_bytes)
    count = len(data) // item_bytes
    for position in range(item_bytes):
        group = shuffled[position * count : (position + 1) * count]
        assert group == data[position : count * item_bytes : item_bytes]
    restored = bytearray(len(data))
    unshuffle(shuffled, item_bytes, memoryview(restored))
    assert restored == data


RUNS = st.lists(
    st.tuples(st.sampled_from(["zeros", "noise", "text", "counts"]), st.integers(0, 9 * MIB)),
    max_size=5,
)
GENERATORS: dict[str, Callable[[int], bytes]] = {
    "zeros": bytes,
    "noise": noise,
    "counts": counts,
    "text": lambda size: noise(-(-size // 2)).hex().encode()[:size],
}


@examples(12)
@given(runs=RUNS, in_files=st.booleans(), item_bytes=st.sampled_from([1, 2, 4, 8, 16]))
def test_any_content_is_restored(
    runs: list[tuple[str, int]], in_files: bool, item_bytes: ItemBytes
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pieces: list[bytes | FilePiece] = [GENERATORS[kind](size) for kind, size in runs]
        data = b"".join(piece for piece in pieces if isinstance(piece, bytes))
        if in_files:
            for number, piece in enumerate(pieces):
                assert isinstance(piece, bytes)
                (folder / str(number)).write_bytes(piece)
                pieces[number] = FilePiece.at(folder / str(number))
        compressed = CompressedContent(Content(*pieces), item_bytes)
        store = DirectoryArtifactStore(folder / "store")
        key = artifact_key(compressed.sha256)
        store.upload(key, compressed)
        ref = ArtifactRef(
            uri=f"{store.uri}/{key}",
            sha256=compressed.sha256,
            size_bytes=compressed.size_bytes,
            codec="bytes/1",
            compression=compressed.compression,
        )
        assert read_to_bytes(store, ref) == data
        assert read_to_memory(store, ref) == data
        read_to_file(store, ref, folder / "copy")
        assert (folder / "copy").read_bytes() == data


def test_a_frame_fills_all_its_targets() -> None:
    memory = bytearray(10)
    view = memoryview(memory)
    decompress_frame(frame_of(b"0123456789"), iter([view[:3], view[3:3], view[3:]]))
    assert memory == b"0123456789"


@pytest.mark.parametrize(
    ("make_frame", "reason"),
    [
        (lambda: frame_of(b"0123"), "it contains 4 bytes, fewer than expected"),
        (lambda: frame_of(b"01234567890"), "it contains more than the 10 bytes that were expected"),
        (lambda: frame_of(bytes(1 << 30)), "it contains more than the 10 bytes"),
        (lambda: frame_of(b"0123456789")[:-3], "it contains . bytes, fewer than expected"),
        (lambda: memoryview(b""), "it contains 0 bytes, fewer than expected"),
        (
            lambda: memoryview(os.urandom(20)),
            "it is not valid zstd data: .*Unknown frame descriptor",
        ),
    ],
    ids=["too little", "too much", "far too much", "truncated", "empty", "noise"],
)
def test_an_invalid_frame_or_one_of_another_size_is_an_error(
    make_frame: Callable[[], memoryview], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        decompress_frame(make_frame(), [memoryview(bytearray(4)), memoryview(bytearray(6))])


def test_a_frame_with_a_too_large_window_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=27)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    frame = compressor.compress(bytes(MIB)) + compressor.flush()
    with pytest.raises(ValueError, match="too much memory"):
        decompress_frame(memoryview(frame), [memoryview(bytearray(MIB))])
