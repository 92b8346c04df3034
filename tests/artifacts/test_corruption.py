"""Damaged objects and wrong refs are always errors: each kind of damage, codec and store."""

from __future__ import annotations

import gc
import os
import re
import tracemalloc
import uuid
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from flowyml_aws.artifacts.codecs.selection import _BUILT_IN
from flowyml_aws.artifacts.compression import frames_of_parts
from flowyml_aws.artifacts.content import PART_BYTES, Content
from flowyml_aws.artifacts.layout import artifact_key
from flowyml_aws.artifacts.refs import ArtifactRef, Compression
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.artifacts.values import load_value, save_value
from flowyml_aws.aws.s3.store import S3ArtifactStore
from flowyml_aws.core.errors import (
    ArtifactNotFoundError,
    DamagedArtifactError,
    FlowymlError,
    MissingExtraError,
    UnloadableValueError,
)
from flowyml_aws.local.directory import DirectoryArtifactStore
from tests.support.s3_client import s3_client
from tests.support.stores import STORES, overwrite
from tests.support.values import VALUES

Damage = Callable[[bytes], bytes]

LARGE = os.urandom(PART_BYTES + 1000)
ELSEWHERE = "s3://elsewhere/project"


@dataclass(frozen=True)
class StoreUnderTest:
    """A store, and a function that deletes one of its objects by key."""

    store: ArtifactStore
    remove: Callable[[str], object]


@dataclass(frozen=True)
class Stored:
    """A stored value under test.

    Attributes:
        data: Bytes of the intact object.
        other: Ref of another value in the same store.
        folder: Folder for loaded files.
        trap: File that exists if decoding ran code of the value.
    """

    tested: StoreUnderTest
    ref: ArtifactRef
    data: bytes
    other: ArtifactRef
    folder: Path
    trap: Path

    @property
    def key(self) -> str:
        return artifact_key(self.ref.sha256)

    @property
    def uri(self) -> str:
        return f"{self.tested.store.uri}/{self.key}"

    def load(self, **changes: Any) -> Any:
        ref = self.ref.model_copy(update=changes)
        return load_value(self.tested.store, ref, "weights", self.folder)

    def load_fails(self, error: type[FlowymlError], **changes: Any) -> FlowymlError:
        """Check that loading fails, runs no code, leaves no files and names the asset."""
        with pytest.raises(error) as caught:
            self.load(**changes)
        assert type(caught.value) is error
        assert "'weights'" in caught.value.what
        assert not self.trap.exists()
        assert list(self.folder.iterdir()) == []
        return caught.value

    def load_finds_damage(self, pattern: str, **changes: Any) -> None:
        """Check that the error names the object, and what was expected and found."""
        error = self.load_fails(DamagedArtifactError, **changes)
        size = changes.get("size_bytes", self.ref.size_bytes)
        expected, _, actual = error.why.partition(", found: ")
        assert self.uri in error.what
        assert expected == f"expected {size} bytes with SHA-256 {self.ref.sha256}"
        assert re.search(rf"\b({pattern})\b", actual), actual


def digest(data: bytes) -> str:
    return Content(data).sha256


def flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


@pytest.fixture(scope="module", params=STORES)
def tested(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    if request.param == "directory":
        directory = DirectoryArtifactStore(tmp_path_factory.mktemp("store"))
        yield StoreUnderTest(directory, lambda key: directory.path(key).unlink())
        return
    client = s3_client(request.getfixturevalue("moto_url"))
    bucket = f"bucket-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=bucket)
    yield StoreUnderTest(
        S3ArtifactStore(client, bucket, "team"),
        lambda key: client.delete_object(Bucket=bucket, Key=f"team/{key}"),
    )
    client.close()


def store_values(tested: StoreUnderTest, value: Any, other: Any, folder: Path) -> Stored:
    ref, other_ref = (save_value(tested.store, "weights", each) for each in (value, other))
    data = tested.store.get(artifact_key(ref.sha256))
    return Stored(tested, ref, data, other_ref, folder, folder / "sprung")


def restored(stored: Stored, folder: Path) -> Stored:
    """Restore the intact object, to be loaded into an empty folder."""
    overwrite(stored.tested.store, stored.key, stored.data)
    stored.trap.unlink(missing_ok=True)
    return replace(stored, folder=folder)


@pytest.fixture(scope="module", params=VALUES)
def saved(
    request: pytest.FixtureRequest,
    tested: StoreUnderTest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Stored:
    """A value that all tests share. Each test writes the object again."""
    folder = tmp_path_factory.mktemp("values")
    make = VALUES[request.param]
    stored = store_values(tested, make(folder, 1), make(folder, 2), folder)
    assert stored.ref.codec.partition("/")[0] == request.param
    return stored


@pytest.fixture
def stored(saved: Stored, tmp_path: Path) -> Stored:
    return restored(saved, tmp_path)


def test_every_codec_is_tested() -> None:
    assert sorted(VALUES) == sorted({codec.name for codec in _BUILT_IN})


def test_an_intact_value_can_be_loaded_and_only_pickles_run_code(stored: Stored) -> None:
    stored.load()
    runs_code = stored.ref.codec in ("pickle/1", "pickle-with-files/1", "sklearn/1")
    assert stored.trap.exists() == runs_code


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: data[:-1], id="one byte short"),
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda data: flipped(data, 0), id="flipped bit in the first byte"),
        pytest.param(lambda data: flipped(data, len(data) // 2), id="flipped bit in the middle"),
        pytest.param(lambda data: flipped(data, -1), id="flipped bit in the last byte"),
        pytest.param(lambda data: data + b"\0", id="one byte more"),
    ],
)
def test_a_damaged_object_is_an_error(stored: Stored, damage: Damage) -> None:
    damaged = damage(stored.data)
    overwrite(stored.tested.store, stored.key, damaged)
    same_size = len(damaged) == len(stored.data)
    stored.load_finds_damage(digest(damaged) if same_size else str(len(damaged)))


def test_swapped_objects_are_an_error(stored: Stored) -> None:
    store, other_key = stored.tested.store, artifact_key(stored.other.sha256)
    other_data = store.get(other_key)
    overwrite(store, stored.key, other_data)
    overwrite(store, other_key, stored.data)
    try:
        same_size = len(other_data) == len(stored.data)
        stored.load_finds_damage(digest(other_data) if same_size else str(len(other_data)))
    finally:
        overwrite(store, other_key, other_data)


def test_a_missing_object_is_an_error(stored: Stored) -> None:
    stored.tested.remove(stored.key)
    error = stored.load_fails(ArtifactNotFoundError)
    assert f"{stored.ref.size_bytes} bytes with SHA-256 {stored.ref.sha256}" in error.why
    assert f"no object at {stored.uri}" in error.why


def test_a_ref_with_another_digest_than_its_uri_is_refused(stored: Stored) -> None:
    error = stored.load_fails(DamagedArtifactError, sha256=stored.other.sha256)
    assert f"expected a URI ending in {artifact_key(stored.other.sha256)}" in error.why
    assert f"found {stored.ref.uri}" in error.why


def test_a_ref_to_a_value_that_was_never_stored_is_an_error(stored: Stored) -> None:
    absent = "0" * 64
    uri = f"{stored.tested.store.uri}/{artifact_key(absent)}"
    error = stored.load_fails(ArtifactNotFoundError, sha256=absent, uri=uri)
    assert uri in error.why


@pytest.mark.parametrize("difference", [-1, 1, 1000])
def test_a_ref_with_another_size_is_refused(stored: Stored, difference: int) -> None:
    size = stored.ref.size_bytes + difference
    stored.load_finds_damage(str(len(stored.data)), size_bytes=size)


def test_a_ref_with_a_size_of_zero_is_refused(stored: Stored) -> None:
    stored.load_finds_damage(str(len(stored.data)), size_bytes=0)


def test_a_ref_with_the_codec_of_other_values_is_refused(stored: Stored) -> None:
    is_json = stored.ref.codec in ("json/1", "text/1", "items/1", "folder/1", "s3-prefix/1")
    wrong_codec = "numpy/1" if is_json else "json/1"
    error = stored.load_fails(UnloadableValueError, codec=wrong_codec)
    assert stored.uri in error.what
    assert f"{stored.ref.size_bytes} bytes with SHA-256 {stored.ref.sha256}" in error.why
    assert f"codec {wrong_codec} can't decode them" in error.why


def test_a_ref_with_an_unknown_codec_is_refused(stored: Stored) -> None:
    error = stored.load_fails(MissingExtraError, codec="parchment/1")
    assert stored.uri in error.what
    assert "'parchment/1'" in error.why
    assert "install the package with the codec 'parchment'" in error.fix


def test_a_ref_with_an_unknown_version_of_its_codec_is_refused(stored: Stored) -> None:
    name = stored.ref.codec.partition("/")[0]
    error = stored.load_fails(MissingExtraError, codec=f"{name}/99")
    assert stored.uri in error.what
    assert f"'{name}/99'" in error.why
    assert f"installed here: {name}/1" in error.why


def test_the_error_for_a_missing_value_contains_the_uri_of_its_original_store(
    stored: Stored,
) -> None:
    stored.tested.remove(stored.key)
    original_uri = f"{ELSEWHERE}/{stored.key}"
    error = stored.load_fails(ArtifactNotFoundError, uri=original_uri)
    assert f"no object at {stored.uri}" in error.why
    assert original_uri in error.why


@pytest.fixture(scope="module")
def saved_parts(tested: StoreUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Stored:
    return store_values(tested, LARGE, b"", tmp_path_factory.mktemp("values"))


class TestValuesOfSeveralParts:
    @pytest.mark.parametrize(
        "damage",
        [
            pytest.param(lambda data: flipped(data, 0), id="first part"),
            pytest.param(lambda data: flipped(data, PART_BYTES), id="second part"),
            pytest.param(lambda data: flipped(data, -1), id="last byte"),
            pytest.param(lambda data: data[:-1], id="one byte short"),
            pytest.param(lambda data: data[:PART_BYTES], id="second part missing"),
        ],
    )
    def test_damage_in_any_part_is_an_error(
        self, saved_parts: Stored, tmp_path: Path, codecs: Sequence[str], damage: Damage
    ) -> None:
        stored = replace(saved_parts, folder=tmp_path)
        damaged = damage(LARGE)
        overwrite(stored.tested.store, stored.key, damaged)
        pattern = digest(damaged) if len(damaged) == len(LARGE) else str(len(damaged))
        for codec in codecs:
            stored.load_finds_damage(pattern, codec=codec, filename="weights.bin")

    def test_a_ref_with_another_size_is_refused(
        self, saved_parts: Stored, tmp_path: Path, codecs: Sequence[str]
    ) -> None:
        stored = restored(saved_parts, tmp_path)
        for size in (PART_BYTES, len(LARGE) - 1, len(LARGE) + 1, 2 * PART_BYTES + 1, 10**15):
            for codec in codecs:
                stored.load_finds_damage(
                    str(len(LARGE)), size_bytes=size, codec=codec, filename="weights.bin"
                )


@pytest.fixture
def codecs(request: pytest.FixtureRequest, is_thorough: bool) -> Sequence[str]:
    """Codecs for the same bytes, which are read as `bytes`, into memory, and into a file.

    Each case has one codec, always the same; a thorough run tries all of them.
    """
    all_codecs = ("bytes/1", "text/1", "file/1")
    if is_thorough:
        return all_codecs
    return (all_codecs[zlib.crc32(request.node.name.encode()) % len(all_codecs)],)


COMPRESSIBLE = os.urandom(9 << 20).hex().encode()  # two frames, one in each part


@pytest.fixture(scope="module")
def saved_frames(tested: StoreUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Stored:
    stored = store_values(tested, COMPRESSIBLE, b"", tmp_path_factory.mktemp("values"))
    assert stored.ref.compression is not None
    assert len(frames_of_parts(stored.ref.compression)) == 2
    return stored


class TestCompressedValues:
    def test_an_intact_value_can_be_loaded(self, saved_frames: Stored, tmp_path: Path) -> None:
        stored = restored(saved_frames, tmp_path)
        assert stored.load() == COMPRESSIBLE
        assert stored.load(codec="text/1").encode() == COMPRESSIBLE
        assert stored.load(codec="file/1", filename="weights").read_bytes() == COMPRESSIBLE

    @pytest.mark.parametrize(
        "damage",
        [
            pytest.param(lambda data: flipped(data, 0), id="first byte"),
            pytest.param(lambda data: flipped(data, len(data) // 2), id="first frame"),
            pytest.param(lambda data: flipped(data, -(1 << 19)), id="second frame"),
            pytest.param(lambda data: flipped(data, -1), id="last byte"),
            pytest.param(lambda data: data[:-1], id="one byte short"),
            pytest.param(lambda data: data[: PART_BYTES // 2], id="half"),
            pytest.param(lambda _: b"", id="empty"),
            pytest.param(lambda data: data + b"\0", id="one byte more"),
            pytest.param(lambda data: COMPRESSIBLE[: len(data)], id="uncompressed data"),
        ],
    )
    def test_damage_is_an_error(
        self, saved_frames: Stored, tmp_path: Path, codecs: Sequence[str], damage: Damage
    ) -> None:
        stored = replace(saved_frames, folder=tmp_path)
        damaged = damage(stored.data)
        overwrite(stored.tested.store, stored.key, damaged)
        if len(damaged) != len(stored.data):
            pattern = str(len(damaged))
        else:  # an invalid frame, or valid frames with another digest
            pattern = r"frame [01] of 2: it (is not valid|contains)|its bytes have the SHA-256"
        for codec in codecs:
            stored.load_finds_damage(pattern, codec=codec, filename="weights.bin")
        gc.collect()  # the failed reads must not leave warnings, which are errors here

    @pytest.mark.parametrize(
        ("change", "pattern"),
        [
            pytest.param(lambda n, f: (n, f[:1]), "1 frames, expected 2", id="one frame missing"),
            pytest.param(
                lambda n, f: (n, (*f, 0)), "3 frames, expected 2", id="one frame too many"
            ),
            pytest.param(lambda n, _: (n, ()), "0 frames, expected 2", id="no frames"),
            pytest.param(lambda n, f: (n, (f[0], f[1] + 1)), "bytes in total", id="larger"),
            pytest.param(lambda n, f: (n, (f[0] - 1, f[1])), "bytes in total", id="smaller"),
            pytest.param(
                lambda n, f: (n, (f[0] + 1, f[1] - 1)), "frame [01] of 2|SHA", id="shifted"
            ),
            pytest.param(lambda n, f: (n, f[::-1]), "frame [01] of 2", id="swapped"),
            pytest.param(lambda n, f: (n, (0, sum(f))), "frame 0 of 2", id="an empty frame"),
            pytest.param(lambda n, f: (n - 1, f), "contains more than", id="one byte less"),
            pytest.param(lambda n, f: (n + 1, f), "fewer than expected", id="one byte more"),
            pytest.param(lambda n, f: (2 * PART_BYTES, f), "fewer than expected", id="full parts"),
            pytest.param(lambda n, f: (0, f), "2 frames, expected 1 for 0", id="empty"),
            pytest.param(lambda n, f: (10**15, f), "2 frames, expected 59604645", id="a petabyte"),
        ],
    )
    def test_a_ref_with_wrong_frames_is_refused(
        self,
        saved_frames: Stored,
        tmp_path: Path,
        codecs: Sequence[str],
        change: Callable[[int, tuple[int, ...]], tuple[int, tuple[int, ...]]],
        pattern: str,
    ) -> None:
        stored = restored(saved_frames, tmp_path)
        correct = stored.ref.compression
        assert correct is not None
        size, frames = change(correct.size_bytes, correct.frames)
        wrong = Compression(size_bytes=size, frames=frames)
        tracemalloc.start()
        try:
            for codec in codecs:
                gc.collect()  # free the memory of the previous failed read
                stored.load_finds_damage(
                    pattern, compression=wrong, codec=codec, filename="weights.bin"
                )
            assert tracemalloc.get_traced_memory()[1] < 100 << 20  # includes the copies of moto
        finally:
            tracemalloc.stop()

    def test_a_ref_with_a_huge_object_size_is_refused(
        self, saved_frames: Stored, tmp_path: Path, codecs: Sequence[str]
    ) -> None:
        stored = restored(saved_frames, tmp_path)
        for frames in ((10**14, 10**14), (10**7, 10**7)):
            wrong = Compression(size_bytes=2 * PART_BYTES, frames=frames)
            for codec in codecs:
                stored.load_finds_damage(
                    "at most|" + str(len(stored.data)),
                    compression=wrong,
                    size_bytes=sum(frames),
                    codec=codec,
                    filename="weights.bin",
                )

    def test_a_ref_without_compression_to_a_compressed_value_is_refused(
        self, saved_frames: Stored, tmp_path: Path, codecs: Sequence[str]
    ) -> None:
        stored = restored(saved_frames, tmp_path)
        for codec in codecs:
            stored.load_finds_damage(
                digest(stored.data), compression=None, codec=codec, filename="weights.bin"
            )

    def test_a_ref_with_compression_to_an_uncompressed_value_is_refused(
        self, saved_parts: Stored, tmp_path: Path
    ) -> None:
        stored = restored(saved_parts, tmp_path)
        wrong = Compression(size_bytes=3 * PART_BYTES, frames=(PART_BYTES, 900, 100))
        stored.load_finds_damage("frame [012] of 3: it is not valid", compression=wrong)

    def test_a_missing_object_is_an_error(
        self, saved_frames: Stored, tmp_path: Path, codecs: Sequence[str]
    ) -> None:
        stored = restored(saved_frames, tmp_path)
        stored.tested.remove(stored.key)
        for codec in codecs:
            error = stored.load_fails(ArtifactNotFoundError, codec=codec, filename="weights.bin")
            assert f"no object at {stored.uri}" in error.why


@pytest.mark.parametrize(
    "value",
    [b"small", LARGE, COMPRESSIBLE],
    ids=["one part", "several parts", "compressed"],
)
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: flipped(data, -1), id="flipped bit"),
        pytest.param(lambda data: data[:-1], id="one byte short"),
        pytest.param(lambda data: data + b"\0", id="one byte more"),
    ],
)
def test_storing_a_value_again_repairs_a_damaged_object(
    tested: StoreUnderTest, tmp_path: Path, value: bytes, damage: Damage
) -> None:
    key = artifact_key(save_value(tested.store, "weights", value).sha256)
    intact = tested.store.get(key)
    overwrite(tested.store, key, damage(intact))
    ref = save_value(tested.store, "weights", value)
    assert tested.store.get(key) == intact
    assert load_value(tested.store, ref, "weights", tmp_path) == value
