from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from flowyml_aws.artifacts.packs import PACK_BYTES, Pack, make_packs, read_index, read_part
from flowyml_aws.core.errors import DamagedArtifactError
from flowyml_aws.local.directory import DirectoryArtifactStore


def by_digest(*contents: bytes) -> dict[str, bytes]:
    return {hashlib.sha256(content).hexdigest(): content for content in contents}


def bytes_of(pack: Pack) -> bytes:
    return b"".join(pack.content.chunks())


def test_each_content_is_read_from_its_place(tmp_path: Path) -> None:
    contents = by_digest(b"one", b"", b"three")
    (pack,) = make_packs(contents)
    store = DirectoryArtifactStore(tmp_path)
    store.put("pack", bytes_of(pack))
    read = {m.sha256: read_part(store, "pack", m.offset, m.size_bytes) for m in pack.members}
    assert read == contents


def test_a_pack_contains_its_index() -> None:
    (pack,) = make_packs(by_digest(b"one", b"two"))
    assert read_index(bytes_of(pack), "pack") == pack.members


def test_equal_contents_give_equal_packs_in_any_order() -> None:
    (pack,) = make_packs(by_digest(b"one", b"two", b"three"))
    (other,) = make_packs(by_digest(b"three", b"one", b"two"))
    assert bytes_of(other) == bytes_of(pack)
    assert pack.sha256 == hashlib.sha256(bytes_of(pack)).hexdigest()


def test_a_full_pack_is_followed_by_another() -> None:
    half = PACK_BYTES // 2
    packs = list(make_packs(by_digest(b"a" * half, b"b" * half, b"c" * half)))
    assert [len(pack.members) for pack in packs] == [2, 1]


def test_no_contents_need_no_pack() -> None:
    assert list(make_packs({})) == []


@pytest.mark.parametrize("data", [b"", b"short", b"\xff" * 100, bytes(100)])
def test_bytes_without_an_index_are_an_error_that_names_them(data: bytes) -> None:
    with pytest.raises(DamagedArtifactError, match="s3://b/pack"):
        read_index(data, "s3://b/pack")
