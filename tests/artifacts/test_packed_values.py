"""Small values that are stored together are in one object, and are as safe as values alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy
import pytest

from flowyml_aws.artifacts.content import Parts
from flowyml_aws.artifacts.documents import Document, read_document
from flowyml_aws.artifacts.errors import UnstorableValueError
from flowyml_aws.artifacts.layout import artifact_key, artifact_pack_key
from flowyml_aws.artifacts.packs import PACK_BYTES, SMALL_BYTES, read_index
from flowyml_aws.artifacts.refs import ArtifactRef, Compression, PackPlace
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.artifacts.transfer import load_values, save_encoded, save_values
from flowyml_aws.artifacts.values import encode_value, load_value, save_value
from flowyml_aws.aws.s3.store import S3ArtifactStore
from flowyml_aws.caching.entries import is_stored, one_of_each_object
from flowyml_aws.core.errors import ArtifactNotFoundError, DamagedArtifactError
from flowyml_aws.local.directory import DirectoryArtifactStore
from tests.support.stores import overwrite

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

VALUES: dict[str, Any] = {
    "number": 7,
    "text": "seven",
    "none": None,
    "empty": b"",
    "rows": [{"n": n} for n in range(100)],
    "pair": (1, 2),
}


@pytest.fixture
def s3_store(s3: S3Client, bucket: str) -> S3ArtifactStore:
    return S3ArtifactStore(s3, bucket, "team/project")


def keys_of(store: ArtifactStore) -> list[str]:
    return sorted(entry.key for entry in store.walk("artifacts/"))


def load(store: ArtifactStore, ref: ArtifactRef, folder: Path) -> Any:
    return load_value(store, ref, "weights", folder)


def place_of(ref: ArtifactRef) -> PackPlace:
    assert ref.pack is not None
    return ref.pack


def moved(ref: ArtifactRef, **changes: Any) -> ArtifactRef:
    """Return the ref with another place in its pack."""
    return ref.model_copy(update={"pack": place_of(ref).model_copy(update=changes)})


def test_small_values_that_are_stored_together_are_one_object(store: ArtifactStore) -> None:
    refs = save_values(store, VALUES)
    assert keys_of(store) == [refs["number"].key]
    assert {ref.key for ref in refs.values()} == {
        artifact_pack_key(place_of(refs["number"]).sha256)
    }
    assert all(ref.uri == f"{store.uri}/{ref.key}" for ref in refs.values())


def test_each_value_of_a_pack_is_loaded_alone(store: ArtifactStore, tmp_path: Path) -> None:
    refs = save_values(store, VALUES)
    assert {asset: load(store, ref, tmp_path) for asset, ref in refs.items()} == VALUES


def test_all_values_of_a_pack_are_loaded_together(store: ArtifactStore, tmp_path: Path) -> None:
    assert load_values(store, save_values(store, VALUES), tmp_path) == VALUES


def test_a_packed_value_has_the_digest_and_the_identity_of_its_content(
    store: ArtifactStore,
) -> None:
    for asset, ref in save_values(store, VALUES).items():
        alone = save_value(store, asset, VALUES[asset])
        assert (ref.sha256, ref.identity, ref.size_bytes, ref.value_bytes, ref.codec) == (
            alone.sha256,
            alone.identity,
            alone.size_bytes,
            alone.value_bytes,
            alone.codec,
        )


def test_the_index_of_a_pack_names_its_values(store: ArtifactStore) -> None:
    refs = save_values(store, VALUES)
    key = refs["number"].key
    members = {(m.sha256, m.offset, m.size_bytes) for m in read_index(store.get(key), key)}
    assert members == {(r.sha256, place_of(r).offset, r.size_bytes) for r in refs.values()}


def test_equal_values_are_once_in_a_pack(store: ArtifactStore, tmp_path: Path) -> None:
    refs = save_values(store, {"a": [1, 2], "b": [1, 2], "c": 3})
    assert refs["a"] == refs["b"]
    assert load(store, refs["b"], tmp_path) == [1, 2]


def test_the_same_values_give_the_same_pack_in_any_order(store: ArtifactStore) -> None:
    refs = save_values(store, VALUES)
    assert save_values(store, dict(reversed(VALUES.items()))) == refs
    assert keys_of(store) == [refs["number"].key]


def test_a_value_that_is_stored_alone_is_the_whole_object(store: ArtifactStore) -> None:
    refs = save_values(store, {"a": 1})
    assert refs["a"].pack is None
    large = bytes(SMALL_BYTES + 1)
    refs = save_values(store, {"small": 1, "large": large})
    assert refs["small"] == save_value(store, "small", 1)
    assert refs["large"] == save_value(store, "large", large)


def test_files_and_compressed_values_are_not_packed(store: ArtifactStore, tmp_path: Path) -> None:
    (tmp_path / "report.txt").write_text("all is well")
    values = {"a": 1, "b": 2, "file": tmp_path / "report.txt", "zeros": b"\0" * 2**20}
    refs = save_values(store, values)
    assert {asset for asset, ref in refs.items() if ref.pack is not None} == {"a", "b"}
    assert isinstance(refs["zeros"].compression, Compression)
    assert store.get(artifact_key(refs["file"].sha256)) == b"all is well"


def test_a_full_pack_is_followed_by_another(store: ArtifactStore, tmp_path: Path) -> None:
    count = PACK_BYTES // SMALL_BYTES + 2
    values = {f"a{n}": n.to_bytes(2, "big") * (SMALL_BYTES // 2) for n in range(count)}
    refs = save_values(store, values)
    assert list(refs) == list(values)
    assert len(keys_of(store)) == len({ref.key for ref in refs.values()}) == 2
    assert load_values(store, refs, tmp_path) == values


def test_the_values_of_a_pack_are_checked_with_one_request(store: ArtifactStore) -> None:
    refs = save_values(store, {**VALUES, "large": bytes(SMALL_BYTES + 1)})
    keys = [ref.key for ref in one_of_each_object(refs.values())]
    assert sorted(keys) == keys_of(store)


@pytest.mark.contract
def test_small_values_cost_two_requests_together(s3: S3Client, bucket: str) -> None:
    calls: list[str] = []
    s3.meta.events.register("before-call.s3", lambda model, **_: calls.append(model.name))
    save_values(S3ArtifactStore(s3, bucket), {f"a{n}": [n] for n in range(50)})
    assert calls == ["HeadObject", "PutObject"]


def test_encoded_values_are_stored_together(store: ArtifactStore, tmp_path: Path) -> None:
    refs = save_encoded(store, [encode_value(asset, value) for asset, value in VALUES.items()])
    assert refs == save_values(store, VALUES)
    assert save_encoded(store, []) == {}


# Damage


def flip(store: ArtifactStore, ref: ArtifactRef, at: int) -> None:
    """Change one byte of an object."""
    data = bytearray(store.get(ref.key))
    data[at] ^= 1
    overwrite(store, ref.key, bytes(data))


def test_a_changed_byte_of_a_packed_value_is_found(store: ArtifactStore, tmp_path: Path) -> None:
    ref = save_values(store, VALUES)["rows"]
    flip(store, ref, place_of(ref).offset + 5)
    with pytest.raises(DamagedArtifactError, match="'weights'") as caught:
        load(store, ref, tmp_path)
    assert ref.uri in str(caught.value)


def test_damage_of_one_value_leaves_the_others_of_the_pack_readable(
    store: ArtifactStore, tmp_path: Path
) -> None:
    refs = save_values(store, VALUES)
    flip(store, refs["rows"], place_of(refs["rows"]).offset)
    assert load(store, refs["text"], tmp_path) == "seven"


@pytest.mark.contract
def test_a_damaged_pack_is_not_stored_for_the_cache(s3_store: ArtifactStore) -> None:
    refs = save_values(s3_store, VALUES)
    assert all(is_stored(s3_store, ref) for ref in refs.values())
    flip(s3_store, refs["rows"], 0)
    assert not any(is_stored(s3_store, ref) for ref in refs.values())


def test_a_missing_pack_is_an_error_that_names_the_asset(
    store: ArtifactStore, tmp_path: Path
) -> None:
    ref = save_values(store, VALUES)["rows"]
    store.delete([ref.key])
    assert not is_stored(store, ref)
    with pytest.raises(ArtifactNotFoundError, match="'weights'"):
        load(store, ref, tmp_path)


@pytest.mark.parametrize(
    "changed",
    [
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: data[: len(data) // 2],
        lambda _: b"",
    ],
)
def test_a_pack_of_another_size_is_damaged(
    store: ArtifactStore, tmp_path: Path, changed: Callable[[bytes], bytes]
) -> None:
    refs = save_values(store, VALUES)
    key = refs["rows"].key
    overwrite(store, key, changed(store.get(key)))
    for asset in ("rows", "empty"):
        with pytest.raises(DamagedArtifactError, match="'weights'"):
            load(store, refs[asset], tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda ref: moved(ref, offset=place_of(ref).offset + 1),
        lambda ref: moved(ref, offset=10**6),
        lambda ref: moved(ref, size_bytes=place_of(ref).size_bytes + 1),
        lambda ref: moved(ref, sha256="0" * 64),
        lambda ref: ref.model_copy(update={"size_bytes": ref.size_bytes - 1}),
        lambda ref: ref.model_copy(update={"size_bytes": 10**12}),
        lambda ref: ref.model_copy(update={"sha256": "0" * 64}),
        lambda ref: ref.model_copy(update={"pack": None}),
    ],
)
def test_a_wrong_ref_never_gives_another_value(
    store: ArtifactStore, tmp_path: Path, change: Callable[[ArtifactRef], ArtifactRef]
) -> None:
    ref = change(save_values(store, VALUES)["rows"])
    with pytest.raises(DamagedArtifactError, match="'weights'"):
        load(store, ref, tmp_path)


@pytest.mark.contract
def test_values_that_are_stored_again_repair_their_pack(
    s3_store: ArtifactStore, tmp_path: Path
) -> None:
    refs = save_values(s3_store, VALUES)
    flip(s3_store, refs["rows"], place_of(refs["rows"]).offset)
    assert save_values(s3_store, VALUES) == refs
    assert load_values(s3_store, refs, tmp_path) == VALUES


def test_a_damaged_pack_that_may_not_be_deleted_gets_another_key(tmp_path: Path) -> None:
    class WriteOnce(DirectoryArtifactStore):
        def upload(self, key: str, content: Parts) -> None:
            if self.path(key).exists():
                raise DamagedArtifactError("it exists", "it has other content", "delete it")
            super().upload(key, content)

    store = WriteOnce(tmp_path / "store")
    first = save_values(store, VALUES)["rows"]
    flip(store, first, place_of(first).offset)
    refs = save_values(store, VALUES)
    assert refs["rows"].key == f"{first.key}.1"
    assert load_values(store, refs, tmp_path / "values") == VALUES


def test_a_value_that_changes_while_it_is_stored_is_refused(store: ArtifactStore) -> None:
    weights = numpy.arange(3)
    values = [encode_value("weights", weights), encode_value("other", 1)]
    weights[0] = 9
    with pytest.raises(UnstorableValueError, match="'weights'"):
        save_encoded(store, values)
    assert keys_of(store) == []


def test_a_version_without_packs_refuses_the_ref(store: ArtifactStore) -> None:
    class EarlierRef(Document):
        uri: str
        sha256: str
        size_bytes: int
        codec: str
        filename: str | None = None
        compression: Compression | None = None

    ref = save_values(store, VALUES)["rows"]
    with pytest.raises(DamagedArtifactError, match="use the version of flowyml-aws that wrote it"):
        read_document(EarlierRef, ref.to_json(), "ref")


def test_a_ref_of_an_earlier_version_is_read() -> None:
    digest = "a" * 64
    fields = {"uri": f"s3://b/artifacts/aa/{digest}", "sha256": digest, "size_bytes": 1}
    data = json.dumps({**fields, "codec": "json/1", "filename": None, "compression": None})
    ref = read_document(ArtifactRef, data.encode(), "ref")
    assert (ref.pack, ref.key, ref.offset) == (None, artifact_key("a" * 64), 0)
