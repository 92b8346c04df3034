"""Ranges of stored values: only the parts that a range touches are read, and they are verified."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy
import pytest

from flowyml_aws.artifacts.content import PART_BYTES
from flowyml_aws.artifacts.reading import ObjectReader
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.artifacts.values import save_value
from flowyml_aws.artifacts.verified_bytes import VerifiedBytes
from flowyml_aws.core.errors import ArtifactNotFoundError, DamagedArtifactError
from flowyml_aws.local.directory import DirectoryArtifactStore

SIZE = PART_BYTES + 1000
RANGES = [
    (0, 10),
    (PART_BYTES - 3, PART_BYTES + 3),
    (5, SIZE - 5),
    (SIZE - 7, SIZE),
    (PART_BYTES, SIZE),
    (9, 9),
]


@cache
def value(kind: str) -> bytes:
    """Return a value of two parts, or one in two frames that are one part."""
    if kind == "plain":
        return random.Random(0).randbytes(SIZE)
    return (numpy.arange(SIZE) // 1000).astype(numpy.uint8).tobytes()


@dataclass
class Watched:
    """A reader that notes the ranges that it reads."""

    store: ObjectReader
    ranges: list[tuple[int, int]] = field(default_factory=list)

    @property
    def uri(self) -> str:
        return self.store.uri

    def read_into(self, key: str, offset: int, buffer: memoryview) -> int:
        if buffer:
            self.ranges.append((offset, offset + len(buffer)))
        return self.store.read_into(key, offset, buffer)


def change(store: DirectoryArtifactStore, ref: ArtifactRef, offset: int) -> None:
    """Change one stored byte."""
    with store.path(ref.key).open("r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


@pytest.fixture
def folder(tmp_path: Path) -> DirectoryArtifactStore:
    return DirectoryArtifactStore(tmp_path / "store")


def test_a_range_has_the_bytes_of_the_value(store: ArtifactStore) -> None:
    data = VerifiedBytes(store, save_value(store, "value", value("plain")))
    for start, end in RANGES:
        assert data.read(start, end) == value("plain")[start:end]


def test_a_range_of_a_compressed_value_is_decompressed(folder: DirectoryArtifactStore) -> None:
    ref = save_value(folder, "value", value("compressed"))
    assert ref.compression is not None
    data = VerifiedBytes(folder, ref)
    for start, end in RANGES:
        assert data.read(start, end) == value("compressed")[start:end]


def test_a_range_outside_of_the_value_is_an_error(folder: DirectoryArtifactStore) -> None:
    data = VerifiedBytes(folder, save_value(folder, "value", b"abc"))
    for start, end in ((-1, 2), (2, 1), (0, 4)):
        with pytest.raises(ValueError, match="no bytes"):
            data.read(start, end)


def test_only_the_parts_of_a_range_are_read_and_only_once(folder: DirectoryArtifactStore) -> None:
    watched = Watched(folder)
    data = VerifiedBytes(watched, save_value(folder, "value", value("plain")))
    data.read(PART_BYTES + 5, PART_BYTES + 10)
    data.read(SIZE - 5, SIZE)
    assert watched.ranges == [(PART_BYTES, SIZE)]


def test_blocks_of_earlier_turns_are_dropped(folder: DirectoryArtifactStore) -> None:
    watched = Watched(folder)
    ref = save_value(folder, "value", value("plain"))
    data = VerifiedBytes(watched, ref, kept_blocks=None)
    for start in (0, PART_BYTES, PART_BYTES, 0):
        data.begin_turn()
        data.read(start, start + 1)
    assert watched.ranges == [(0, PART_BYTES), (PART_BYTES, SIZE), (0, PART_BYTES)]


@pytest.mark.parametrize("has_digests", [True, False])
def test_a_damaged_part_is_an_error_for_the_ranges_that_need_it(
    folder: DirectoryArtifactStore, has_digests: bool
) -> None:
    ref = save_value(folder, "value", value("plain"))
    if not has_digests:  # as in refs of earlier versions, whose values are read once as a whole
        ref = ref.model_copy(update={"parts": None})
        assert VerifiedBytes(folder, ref).read(5, 9) == value("plain")[5:9]
    change(folder, ref, PART_BYTES + 1)
    data = VerifiedBytes(folder, ref)
    if has_digests:
        assert data.read(5, 9) == value("plain")[5:9]
    with pytest.raises(DamagedArtifactError, match="SHA-256"):
        data.read(PART_BYTES + 10, PART_BYTES + 11)


def test_a_damaged_compressed_part_is_an_error(folder: DirectoryArtifactStore) -> None:
    ref = save_value(folder, "value", value("compressed"))
    change(folder, ref, ref.size_bytes - 1)
    with pytest.raises(DamagedArtifactError, match="part 1 of 1"):
        VerifiedBytes(folder, ref).read(0, 1)


@pytest.mark.parametrize("parts", ["AAAA", "no base64", ""])
def test_digests_that_do_not_prove_the_digest_of_the_value_are_an_error(
    folder: DirectoryArtifactStore, parts: str
) -> None:
    ref = save_value(folder, "value", value("plain")).model_copy(update={"parts": parts})
    with pytest.raises(DamagedArtifactError, match="ref is inconsistent"):
        VerifiedBytes(folder, ref).read(0, 1)


def test_a_missing_or_shorter_object_is_an_error(folder: DirectoryArtifactStore) -> None:
    ref = save_value(folder, "value", b"three")
    folder.path(ref.key).write_bytes(b"four")
    with pytest.raises(DamagedArtifactError):
        VerifiedBytes(folder, ref).read(0, 2)
    folder.delete([ref.key])
    with pytest.raises(ArtifactNotFoundError):
        VerifiedBytes(folder, ref).read(0, 2)
