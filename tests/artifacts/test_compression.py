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
    compress_if_it_pays,
    frames_of_parts,
    inflate,
)
from flowyml_aws.artifacts.content import PART_BYTES, Content, FilePiece, Parts
from flowyml_aws.artifacts.layout import artifact_key
from flowyml_aws.artifacts.reading import read_to_bytes, read_to_file, read_to_memory
from flowyml_aws.artifacts.refs import ArtifactRef, Compression, ItemBytes
from flowyml_aws.artifacts.shuffle import shuffled, unshuffle
from flowyml_aws.local.directory import DirectoryArtifactStore
from tests.support.effort import examples

MIB = 1 << 20
LEAST_PART_BYTES = 5 * MIB


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def frame_of(data: bytes) -> memoryview:
    return memoryview(zstandard.ZstdCompressor().compress(data))


def content_of(parts: Parts) -> bytes:
    """What a reader without this package gets."""
    with zstandard.ZstdDecompressor().stream_reader(
        b"".join(parts.chunks()), read_across_frames=True
    ) as reader:
        return reader.read()


def test_what_shrinks_is_compressed() -> None:
    data = noise(2 * MIB).hex().encode()
    made = compress_if_it_pays(Content(data))
    assert isinstance(made, CompressedContent)
    assert made.size_bytes < 0.6 * len(data)
    assert made.compression.size_bytes == len(data)
    assert content_of(made) == data


@pytest.mark.parametrize("data", [noise(MIB), bytes(100_000), b""], ids=["noise", "small", "empty"])
def test_what_does_not_shrink_or_is_small_goes_as_it_is(data: bytes) -> None:
    content = Content(data)
    assert compress_if_it_pays(content) is content


def test_a_content_whose_sample_promised_too_much_goes_as_it_is() -> None:
    data = bytearray(noise(8 * MIB))
    step = (len(data) - 64 * 1024) // 7
    for number in range(8):
        data[number * step : number * step + 64 * 1024] = bytes(64 * 1024)
    content = Content(data)
    assert compress_if_it_pays(content) is content


def test_without_room_on_the_disk_a_content_goes_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    content = Content(bytes(MIB))
    assert compress_if_it_pays(content) is content


def test_the_same_content_has_the_same_digest_again() -> None:
    data = noise(9 * MIB).hex().encode()
    first, second = (CompressedContent(Content(each)) for each in (data, bytearray(data)))
    assert first.sha256 == second.sha256


def test_whole_frames_make_parts_that_s3_takes() -> None:
    data = bytes(5 * PART_BYTES) + noise(PART_BYTES) + b"rest"
    made = CompressedContent(Content(data))
    assert len(made.compression.frames) == 7
    assert len(made.part_sizes) == 2
    assert min(made.part_sizes[:-1]) >= LEAST_PART_BYTES
    assert [sum(map(len, made.part(n))) for n in range(2)] == made.part_sizes


@given(st.integers(1, 10**13), st.randoms(use_true_random=False))
def test_parts_have_each_frame_once_in_order_and_are_as_many_as_s3_takes(
    size: int, chance: random.Random
) -> None:
    count = min(-(-size // PART_BYTES), 20_000)
    frames = tuple(chance.choice((20, PART_BYTES // 3, PART_BYTES)) for _ in range(count))
    parts = frames_of_parts(Compression(size_bytes=size, frames=frames))
    assert [number for part in parts for number in part] == list(range(count))
    assert all(sum(frames[n] for n in part) >= LEAST_PART_BYTES for part in parts[:-1])
    assert len(parts) <= 10_000


def counts(size: int) -> bytes:
    """Small numbers of four bytes."""
    return b"".join(number.to_bytes(4, "little") for number in noise(-(-size // 4)))[:size]


def test_numbers_are_shuffled_where_that_makes_them_smaller() -> None:
    numbers = Content(counts(2 * MIB), item_bytes=4)
    text = Content(noise(MIB).hex().encode(), item_bytes=4)
    made = {name: compress_if_it_pays(each) for name, each in (("n", numbers), ("t", text))}
    assert isinstance(made["n"], CompressedContent)
    assert made["n"].compression.item_bytes == 4
    assert made["n"].size_bytes < 0.9 * CompressedContent(numbers).size_bytes
    assert isinstance(made["t"], CompressedContent)
    assert made["t"].compression.item_bytes == 1


@given(data=st.binary(max_size=100), item_bytes=st.sampled_from([2, 4, 8, 16]))
@example(data=bytes(range(9)), item_bytes=4)
def test_what_is_shuffled_comes_back(data: bytes, item_bytes: int) -> None:
    shuffled_data = shuffled(data, item_bytes)
    count = len(data) // item_bytes
    for place in range(item_bytes):
        of_place = shuffled_data[place * count : (place + 1) * count]
        assert of_place == data[place : count * item_bytes : item_bytes]
    back = bytearray(len(data))
    unshuffle(shuffled_data, item_bytes, memoryview(back))
    assert back == data


RUNS = st.lists(
    st.tuples(st.sampled_from(["zeros", "noise", "text", "counts"]), st.integers(0, 9 * MIB)),
    max_size=5,
)
MAKE: dict[str, Callable[[int], bytes]] = {
    "zeros": bytes,
    "noise": noise,
    "counts": counts,
    "text": lambda size: noise(-(-size // 2)).hex().encode()[:size],
}


@examples(12)
@given(runs=RUNS, in_files=st.booleans(), item_bytes=st.sampled_from([1, 2, 4, 8, 16]))
def test_any_content_comes_back(
    runs: list[tuple[str, int]], in_files: bool, item_bytes: ItemBytes
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pieces: list[bytes | FilePiece] = [MAKE[kind](size) for kind, size in runs]
        data = b"".join(piece for piece in pieces if isinstance(piece, bytes))
        if in_files:
            for number, piece in enumerate(pieces):
                assert isinstance(piece, bytes)
                (folder / str(number)).write_bytes(piece)
                pieces[number] = FilePiece.at(folder / str(number))
        made = CompressedContent(Content(*pieces), item_bytes)
        store = DirectoryArtifactStore(folder / "store")
        key = artifact_key(made.sha256)
        store.upload(key, made)
        ref = ArtifactRef(
            uri=f"{store.uri}/{key}",
            sha256=made.sha256,
            size_bytes=made.size_bytes,
            codec="bytes/1",
            compression=made.compression,
        )
        assert read_to_bytes(store, ref) == data
        assert read_to_memory(store, ref) == data
        read_to_file(store, ref, folder / "landed")
        assert (folder / "landed").read_bytes() == data


def test_a_frame_fills_all_its_targets() -> None:
    memory = bytearray(10)
    view = memoryview(memory)
    inflate(frame_of(b"0123456789"), iter([view[:3], view[3:3], view[3:]]))
    assert memory == b"0123456789"


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (frame_of(b"0123"), "it holds 4 bytes, less than expected"),
        (frame_of(b"01234567890"), "it holds more than 10 bytes, as were expected"),
        (frame_of(bytes(1 << 30)), "it holds more than 10 bytes"),
        (frame_of(b"0123456789")[:-3], "it holds . bytes, less than expected"),
        (memoryview(b""), "it holds 0 bytes, less than expected"),
        (memoryview(os.urandom(20)), "it is damaged: .*Unknown frame descriptor"),
    ],
    ids=["less", "more", "far more", "cut", "nothing", "noise"],
)
def test_a_frame_that_holds_something_else_is_an_error(frame: memoryview, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        inflate(frame, [memoryview(bytearray(4)), memoryview(bytearray(6))])


def test_a_frame_that_wants_much_memory_for_itself_is_refused() -> None:
    greedy = zstandard.ZstdCompressionParameters.from_level(1, window_log=27)
    compressor = zstandard.ZstdCompressor(compression_params=greedy).compressobj()
    frame = compressor.compress(bytes(MIB)) + compressor.flush()
    with pytest.raises(ValueError, match="too much memory"):
        inflate(memoryview(frame), [memoryview(bytearray(MIB))])
