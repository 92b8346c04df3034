from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flowyml_aws.artifacts.content import PART_BYTES, Content, FilePiece, digest_of_parts
from flowyml_aws.artifacts.errors import UnstorableValueError
from flowyml_aws.aws.s3.store import S3ArtifactStore

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

MIB = 1 << 20


def test_the_digest_of_one_part_is_the_sha256_of_the_bytes() -> None:
    assert Content(b"abc").sha256 == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_empty_content_has_one_empty_part() -> None:
    content = Content()
    assert content.part_sizes == [0]
    assert b"".join(content.part(0)) == b""
    assert content.sha256 == hashlib.sha256(b"").hexdigest()


def test_content_of_exactly_one_full_part_has_one_part() -> None:
    data = bytes(PART_BYTES)
    assert Content(data).part_sizes == [PART_BYTES]
    assert Content(data).sha256 == hashlib.sha256(data).hexdigest()


def test_the_digest_of_several_parts_is_the_sha256_of_the_parts_digests() -> None:
    first, second = bytes(PART_BYTES), b"x"
    expected = hashlib.sha256()
    expected.update(hashlib.sha256(first).digest())
    expected.update(hashlib.sha256(second).digest())
    content = Content(first + second)
    assert content.part_digests == (
        hashlib.sha256(first).digest(),
        hashlib.sha256(second).digest(),
    )
    assert content.sha256 == expected.hexdigest() == digest_of_parts(content.part_digests)


@pytest.mark.contract
@pytest.mark.parametrize("size", [0, 5, PART_BYTES + 5])
def test_the_digest_equals_the_checksum_of_s3(s3: S3Client, bucket: str, size: int) -> None:
    content = Content(b"\x07" * size)
    S3ArtifactStore(s3, bucket).upload("a", content)
    checksum = s3.head_object(Bucket=bucket, Key="a", ChecksumMode="ENABLED")["ChecksumSHA256"]
    assert base64.b64decode(checksum.partition("-")[0]).hex() == content.sha256


@pytest.mark.parametrize(
    "sizes",
    [
        (PART_BYTES, PART_BYTES),
        (1, PART_BYTES - 1, 1),
        (10 * MIB, 10 * MIB, 0, 13 * MIB),
        (PART_BYTES * 2 + 7,),
        (3, 0, 0, 4),
    ],
)
def test_parts_contain_the_pieces_in_order_for_any_piece_sizes(
    tmp_path: Path, sizes: tuple[int, ...]
) -> None:
    pieces = [os.urandom(MIB)[:size] * max(1, size // MIB) for size in sizes]
    mixed: list[bytes | FilePiece] = []
    for number, piece in enumerate(pieces):
        path = tmp_path / str(number)
        path.write_bytes(piece)
        mixed.append(piece if number % 2 else FilePiece.at(path))
    for content in (Content(*pieces), Content(*mixed)):
        parts = [b"".join(content.part(n)) for n in range(len(content.part_sizes))]
        assert b"".join(parts) == b"".join(content.chunks()) == b"".join(pieces)
        assert [len(part) for part in parts] == content.part_sizes
        assert set(content.part_sizes[:-1]) <= {PART_BYTES}
        assert content.size_bytes == sum(map(len, pieces))


def test_a_part_within_one_buffer_is_a_view_of_it() -> None:
    head, data = b"head", bytearray(2 * PART_BYTES)
    (chunk,) = Content(head, data).part(1)
    assert memoryview(chunk).obj is data


def test_a_view_of_several_dimensions_is_read_as_bytes() -> None:
    view = memoryview(bytes(range(12))).cast("B", (3, 4))
    assert Content(view).size_bytes == 12
    assert b"".join(Content(view).part(0)) == bytes(range(12))


@pytest.mark.parametrize("index", [-1, 1])
def test_a_part_index_out_of_range_is_an_error(index: int) -> None:
    with pytest.raises(IndexError):
        list(Content(b"x").part(index))


@pytest.mark.parametrize("change", [b"longer than before", b"b", b"other!"])
def test_a_file_that_changes_before_it_is_stored_is_an_error(tmp_path: Path, change: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    content = Content.of_file(path)
    replacement = tmp_path / "replacement"
    replacement.write_bytes(change)
    replacement.replace(path)
    with pytest.raises(UnstorableValueError, match="changed while"):
        list(content.part(0))
