"""The objects that are read while the runner imports its modules."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from flowyml_aws.artifacts.packs import read_part
from flowyml_aws.core.errors import ArtifactNotFoundError
from flowyml_aws.job.first_reads import FirstReads, ReadingAhead
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.runtime.argument import IndexArgument, SpecArgument
from flowyml_aws.runtime.spec import CodeSource, JobSpec, StoredObject
from flowyml_aws.runtime.specs import SpecIndex

BUNDLE, PAYLOAD, LARGE = b"the bundle", b"the payload", b"a large value"
PACK = "runs/r/specs/0.json"


def stored(key: str, data: bytes, offset: int | None = None) -> StoredObject:
    sha256 = hashlib.sha256(data).hexdigest()
    return StoredObject(key=key, sha256=sha256, size_bytes=len(data), offset=offset)


def a_spec() -> bytes:
    code = CodeSource.model_construct(
        bundle=stored("code/b", BUNDLE), in_place=False, root="/", program=None
    )
    spec = JobSpec.model_construct(
        code=code,
        payload=stored("packs/p", PAYLOAD, offset=3),
        large_values=(stored("payloads/l", LARGE),),
    )
    return spec.model_dump_json(include={"code", "payload", "large_values"}).encode()


def the_place(spec: bytes, sha256: str | None = None) -> SpecArgument:
    digest = sha256 or hashlib.sha256(spec).hexdigest()
    return SpecArgument("s3://b", PACK, digest, offset=1, size_bytes=len(spec))


class Objects:
    """Objects by key. It counts the reads."""

    def __init__(self, objects: Mapping[str, bytes]) -> None:
        self.objects = objects
        self.reads: list[str] = []

    def __call__(self, key: str, offset: int | None, size_bytes: int) -> bytes:
        self.reads.append(key)
        data = self.objects[key]
        return data if offset is None else data[offset : offset + size_bytes]


def the_objects(spec: bytes, **more: bytes) -> Objects:
    code = {"code/b": BUNDLE, "packs/p": b"..." + PAYLOAD, "payloads/l": LARGE}
    return Objects({PACK: b"[" + spec, **code, **more})


def test_spec_and_code_are_read_ahead_each_once(tmp_path: Path) -> None:
    spec = a_spec()
    objects = the_objects(spec)
    empty = DirectoryArtifactStore(tmp_path / "store")
    store = ReadingAhead(empty, FirstReads(objects, the_place(spec)))
    assert store.uri == empty.uri
    assert read_part(store, PACK, 1, len(spec)) == spec
    assert store.get("code/b") == BUNDLE
    assert read_part(store, "packs/p", 3, len(PAYLOAD)) == PAYLOAD
    assert store.get("payloads/l") == LARGE
    assert sorted(objects.reads) == ["code/b", "packs/p", "payloads/l", PACK]


def test_a_child_of_an_array_finds_its_spec_in_the_index() -> None:
    spec = a_spec()
    digest = hashlib.sha256(spec).hexdigest()
    index = SpecIndex(specs=((7, 9, 9, "0" * 64), (0, 1, len(spec), digest))).to_json()
    sha256 = hashlib.sha256(index).hexdigest()
    array = IndexArgument("s3://b", "r", "runs/r/arrays/0", sha256, index=1)
    reads = FirstReads(the_objects(spec, **{"runs/r/arrays/0": index}), array)
    assert reads.take("runs/r/arrays/0", None) == index
    assert reads.take(PACK, 1) == spec
    assert reads.take("code/b", None) == BUNDLE


def test_nothing_is_read_for_a_spec_with_another_digest() -> None:
    spec = a_spec()
    objects = the_objects(spec)
    reads = FirstReads(objects, the_place(spec, "0" * 64))
    assert reads.take(PACK, 1) is None and reads.take("code/b", None) is None
    assert objects.reads == [PACK]


def test_what_was_not_read_is_read_from_the_store(tmp_path: Path) -> None:
    spec = a_spec()
    store = DirectoryArtifactStore(tmp_path / "store")
    store.put("code/b", BUNDLE)
    ahead = ReadingAhead(store, FirstReads(Objects({PACK: b"[" + spec}), the_place(spec)))
    assert ahead.get("code/b") == BUNDLE
    with pytest.raises(ArtifactNotFoundError):
        read_part(ahead, "packs/p", 3, len(PAYLOAD))
    assert ahead.get("code/b") == BUNDLE  # also once it was taken
