"""What lies in a store, or a ref to it, can be wrong in any way: it is never read as a value.

The table: each kind of damage, each codec, each store.
"""

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
from flowyml_aws.aws.s3 import S3ArtifactStore
from flowyml_aws.core.errors import (
    ArtifactNotFoundError,
    DamagedArtifactError,
    FlowymlError,
    MissingExtraError,
)
from flowyml_aws.local.directory import DirectoryArtifactStore
from tests.support.moto_server import s3_client
from tests.support.stores import STORES
from tests.support.values import VALUES

Damage = Callable[[bytes], bytes]
Lie = Callable[[ArtifactRef], dict[str, Any]]

LARGE = os.urandom(PART_BYTES + 1000)
ELSEWHERE = "s3://elsewhere/project"


@dataclass(frozen=True)
class Place:
    """A store, and how an object in it is lost."""

    store: ArtifactStore
    remove: Callable[[str], object]


@dataclass(frozen=True)
class Stored:
    """A value in a store, and what happens to it."""

    place: Place
    ref: ArtifactRef
    data: bytes
    other: ArtifactRef
    folder: Path
    sprung: Path

    @property
    def key(self) -> str:
        return artifact_key(self.ref.sha256)

    @property
    def uri(self) -> str:
        return f"{self.place.store.uri}/{self.key}"

    def load(self, **lies: Any) -> Any:
        ref = self.ref.model_copy(update=lies)
        return load_value(self.place.store, ref, "weights", self.folder)

    def refused(self, error: type[FlowymlError], **lies: Any) -> FlowymlError:
        """The error of loading it, which ran no code, left no files and names the asset."""
        with pytest.raises(error) as caught:
            self.load(**lies)
        assert type(caught.value) is error
        assert "'weights'" in caught.value.what
        assert not self.sprung.exists()
        assert list(self.folder.iterdir()) == []
        return caught.value

    def refused_as_damaged(self, found: str, **lies: Any) -> None:
        """The error names the object, what was expected, and what was found."""
        error = self.refused(DamagedArtifactError, **lies)
        size = lies.get("size_bytes", self.ref.size_bytes)
        expected, _, actual = error.why.partition(", found: ")
        assert self.uri in error.what
        assert expected == f"expected {size} bytes with SHA-256 {self.ref.sha256}"
        assert re.search(rf"\b({found})\b", actual), actual


def digest(data: bytes) -> str:
    return Content(data).sha256


def flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


@pytest.fixture(scope="module", params=STORES)
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    if request.param == "directory":
        directory = DirectoryArtifactStore(tmp_path_factory.mktemp("store"))
        yield Place(directory, lambda key: directory.path(key).unlink())
        return
    client = s3_client(request.getfixturevalue("moto_url"))
    bucket = f"bucket-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=bucket)
    yield Place(
        S3ArtifactStore(client, bucket, "team"),
        lambda key: client.delete_object(Bucket=bucket, Key=f"team/{key}"),
    )
    client.close()


def stored_in(place: Place, value: Any, other: Any, folder: Path) -> Stored:
    ref, another = (save_value(place.store, "weights", each) for each in (value, other))
    data = place.store.get(artifact_key(ref.sha256))
    return Stored(place, ref, data, another, folder, folder / "sprung")


def whole(stored: Stored, folder: Path) -> Stored:
    """The value as it was stored, to be loaded into an empty folder."""
    stored.place.store.put(stored.key, stored.data)
    stored.sprung.unlink(missing_ok=True)
    return replace(stored, folder=folder)


@pytest.fixture(scope="module", params=VALUES)
def saved(
    request: pytest.FixtureRequest, place: Place, tmp_path_factory: pytest.TempPathFactory
) -> Stored:
    """One value for all tests: each writes anew what lies there."""
    folder = tmp_path_factory.mktemp("values")
    make = VALUES[request.param]
    stored = stored_in(place, make(folder, 1), make(folder, 2), folder)
    assert stored.ref.codec.partition("/")[0] == request.param
    return stored


@pytest.fixture
def stored(saved: Stored, tmp_path: Path) -> Stored:
    return whole(saved, tmp_path)


def test_every_codec_stands_in_the_table() -> None:
    assert sorted(VALUES) == sorted({codec.name for codec in _BUILT_IN})


def test_what_is_refused_below_can_be_read_if_it_is_whole_and_would_run_its_code(
    stored: Stored,
) -> None:
    stored.load()
    assert stored.sprung.exists() == (stored.ref.codec in ("pickle/1", "sklearn/1"))


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: data[:-1], id="one byte short"),
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda data: flipped(data, 0), id="a bit of the first byte"),
        pytest.param(lambda data: flipped(data, len(data) // 2), id="a bit in the middle"),
        pytest.param(lambda data: flipped(data, -1), id="a bit of the last byte"),
        pytest.param(lambda data: data + b"\0", id="a byte more"),
    ],
)
def test_a_damaged_object_is_no_value(stored: Stored, damage: Damage) -> None:
    found = damage(stored.data)
    stored.place.store.put(stored.key, found)
    same_size = len(found) == len(stored.data)
    stored.refused_as_damaged(digest(found) if same_size else str(len(found)))


def test_swapped_objects_are_no_values(stored: Stored) -> None:
    store, other = stored.place.store, artifact_key(stored.other.sha256)
    theirs = store.get(other)
    store.put(stored.key, theirs)
    store.put(other, stored.data)
    try:
        same_size = len(theirs) == len(stored.data)
        stored.refused_as_damaged(digest(theirs) if same_size else str(len(theirs)))
    finally:
        store.put(other, theirs)


def test_a_missing_object_is_told_as_missing(stored: Stored) -> None:
    stored.place.remove(stored.key)
    error = stored.refused(ArtifactNotFoundError)
    assert f"{stored.ref.size_bytes} bytes with SHA-256 {stored.ref.sha256}" in error.why
    assert f"at {stored.uri}, found nothing" in error.why


def test_a_ref_with_another_digest_than_its_uri_is_refused(stored: Stored) -> None:
    error = stored.refused(DamagedArtifactError, sha256=stored.other.sha256)
    assert f"expected a URI ending in {artifact_key(stored.other.sha256)}" in error.why
    assert f"found {stored.ref.uri}" in error.why


def test_a_ref_to_what_was_never_stored_is_told_as_missing(stored: Stored) -> None:
    absent = "0" * 64
    uri = f"{stored.place.store.uri}/{artifact_key(absent)}"
    error = stored.refused(ArtifactNotFoundError, sha256=absent, uri=uri)
    assert uri in error.why


@pytest.mark.parametrize("more", [-1, 1, 1000])
def test_a_ref_with_another_size_is_refused(stored: Stored, more: int) -> None:
    size = stored.ref.size_bytes + more
    stored.refused_as_damaged(str(len(stored.data)), size_bytes=size)


def test_a_ref_that_says_nothing_is_there_is_refused(stored: Stored) -> None:
    stored.refused_as_damaged(str(len(stored.data)), size_bytes=0)


def test_a_ref_with_the_codec_of_other_values_is_refused(stored: Stored) -> None:
    lie = "numpy/1" if stored.ref.codec in ("json/1", "text/1") else "json/1"
    error = stored.refused(DamagedArtifactError, codec=lie)
    assert stored.uri in error.what
    assert f"{stored.ref.size_bytes} bytes with SHA-256 {stored.ref.sha256}" in error.why
    assert f"codec {lie} fails on them" in error.why


def test_a_ref_with_an_unknown_codec_is_refused(stored: Stored) -> None:
    error = stored.refused(MissingExtraError, codec="parchment/1")
    assert stored.uri in error.what
    assert "'parchment/1'" in error.why
    assert "install the package with the codec 'parchment'" in error.fix


def test_a_ref_with_an_unknown_version_of_its_codec_is_refused(stored: Stored) -> None:
    name = stored.ref.codec.partition("/")[0]
    error = stored.refused(MissingExtraError, codec=f"{name}/99")
    assert stored.uri in error.what
    assert f"'{name}/99'" in error.why
    assert f"installed here: {name}/1" in error.why


def test_a_ref_to_another_store_is_told_where_the_value_is_not_here(stored: Stored) -> None:
    stored.place.remove(stored.key)
    there = f"{ELSEWHERE}/{stored.key}"
    error = stored.refused(ArtifactNotFoundError, uri=there)
    assert f"at {stored.uri}, found nothing" in error.why
    assert there in error.why


@pytest.fixture(scope="module")
def saved_parts(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Stored:
    return stored_in(place, LARGE, b"", tmp_path_factory.mktemp("values"))


class TestValuesOfSeveralParts:
    @pytest.mark.parametrize(
        "damage",
        [
            pytest.param(lambda data: flipped(data, 0), id="first part"),
            pytest.param(lambda data: flipped(data, PART_BYTES), id="second part"),
            pytest.param(lambda data: flipped(data, -1), id="last byte"),
            pytest.param(lambda data: data[:-1], id="one byte short"),
            pytest.param(lambda data: data[:PART_BYTES], id="without its second part"),
        ],
    )
    def test_damage_in_any_part_is_found(
        self, saved_parts: Stored, tmp_path: Path, codecs: Sequence[str], damage: Damage
    ) -> None:
        stored = replace(saved_parts, folder=tmp_path)
        found = damage(LARGE)
        stored.place.store.put(stored.key, found)
        told = digest(found) if len(found) == len(LARGE) else str(len(found))
        for codec in codecs:
            stored.refused_as_damaged(told, codec=codec, filename="weights.bin")

    def test_a_ref_with_another_size_is_refused(
        self, saved_parts: Stored, tmp_path: Path, codecs: Sequence[str]
    ) -> None:
        stored = whole(saved_parts, tmp_path)
        for size in (PART_BYTES, len(LARGE) - 1, len(LARGE) + 1, 2 * PART_BYTES + 1, 10**15):
            for codec in codecs:
                stored.refused_as_damaged(
                    str(len(LARGE)), size_bytes=size, codec=codec, filename="weights.bin"
                )


@pytest.fixture
def codecs(request: pytest.FixtureRequest, is_thorough: bool) -> Sequence[str]:
    """The codecs that read the same bytes: as they are, into memory, and into a file.

    Each case has one of them, always the same; a thorough run tries all.
    """
    every = ("bytes/1", "text/1", "file/1")
    if is_thorough:
        return every
    return (every[zlib.crc32(request.node.name.encode()) % len(every)],)


SHRINKING = os.urandom(9 << 20).hex().encode()  # two frames, each a part


@pytest.fixture(scope="module")
def saved_frames(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Stored:
    stored = stored_in(place, SHRINKING, b"", tmp_path_factory.mktemp("values"))
    assert stored.ref.compression is not None
    assert len(frames_of_parts(stored.ref.compression)) == 2
    return stored


class TestCompressedValues:
    def test_what_is_refused_below_can_be_read_if_it_is_whole(
        self, saved_frames: Stored, tmp_path: Path
    ) -> None:
        stored = whole(saved_frames, tmp_path)
        assert stored.load() == SHRINKING
        assert stored.load(codec="text/1").encode() == SHRINKING
        assert stored.load(codec="file/1", filename="weights").read_bytes() == SHRINKING

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
            pytest.param(lambda data: data + b"\0", id="a byte more"),
            pytest.param(lambda data: SHRINKING[: len(data)], id="not compressed at all"),
        ],
    )
    def test_damage_is_found(
        self, saved_frames: Stored, tmp_path: Path, codecs: Sequence[str], damage: Damage
    ) -> None:
        stored = replace(saved_frames, folder=tmp_path)
        found = damage(stored.data)
        stored.place.store.put(stored.key, found)
        if len(found) != len(stored.data):
            told = str(len(found))
        else:  # what can't even be read is told so, all else by its digest
            told = r"frame [01] of 2: it (is damaged|holds)|its bytes have the SHA-256"
        for codec in codecs:
            stored.refused_as_damaged(told, codec=codec, filename="weights.bin")
        gc.collect()  # what the failed reads leave goes without a word: warnings are errors

    @pytest.mark.parametrize(
        ("lie", "told"),
        [
            pytest.param(lambda n, f: (n, f[:1]), "1 frames, expected 2", id="a frame less"),
            pytest.param(lambda n, f: (n, (*f, 0)), "3 frames, expected 2", id="a frame more"),
            pytest.param(lambda n, _: (n, ()), "0 frames, expected 2", id="no frames"),
            pytest.param(lambda n, f: (n, (f[0], f[1] + 1)), "bytes together", id="larger"),
            pytest.param(lambda n, f: (n, (f[0] - 1, f[1])), "bytes together", id="smaller"),
            pytest.param(lambda n, f: (n, (f[0] + 1, f[1] - 1)), "frame [01] of 2|SHA", id="moved"),
            pytest.param(lambda n, f: (n, f[::-1]), "frame [01] of 2", id="swapped"),
            pytest.param(lambda n, f: (n, (0, sum(f))), "frame 0 of 2", id="an empty frame"),
            pytest.param(lambda n, f: (n - 1, f), "holds more than", id="a byte less"),
            pytest.param(lambda n, f: (n + 1, f), "less than expected", id="a byte more"),
            pytest.param(lambda n, f: (2 * PART_BYTES, f), "less than expected", id="full parts"),
            pytest.param(lambda n, f: (0, f), "2 frames, expected 1 for 0", id="nothing"),
            pytest.param(lambda n, f: (10**15, f), "2 frames, expected 59604645", id="a petabyte"),
        ],
    )
    def test_a_ref_that_lies_about_frames_is_refused(
        self,
        saved_frames: Stored,
        tmp_path: Path,
        codecs: Sequence[str],
        lie: Callable[[int, tuple[int, ...]], tuple[int, tuple[int, ...]]],
        told: str,
    ) -> None:
        stored = whole(saved_frames, tmp_path)
        true = stored.ref.compression
        assert true is not None
        size, frames = lie(true.size_bytes, true.frames)
        lying = Compression(size_bytes=size, frames=frames)
        tracemalloc.start()
        try:
            for codec in codecs:
                gc.collect()  # what the refused read before this one left
                stored.refused_as_damaged(
                    told, compression=lying, codec=codec, filename="weights.bin"
                )
            assert tracemalloc.get_traced_memory()[1] < 100 << 20  # moto's copies are in it
        finally:
            tracemalloc.stop()

    def test_a_ref_that_claims_a_huge_object_is_refused(
        self, saved_frames: Stored, tmp_path: Path, codecs: Sequence[str]
    ) -> None:
        stored = whole(saved_frames, tmp_path)
        for frames in ((10**14, 10**14), (10**7, 10**7)):
            lying = Compression(size_bytes=2 * PART_BYTES, frames=frames)
            for codec in codecs:
                stored.refused_as_damaged(
                    "at most|" + str(len(stored.data)),
                    compression=lying,
                    size_bytes=sum(frames),
                    codec=codec,
                    filename="weights.bin",
                )

    def test_a_ref_that_says_the_bytes_are_the_value_itself_is_refused(
        self, saved_frames: Stored, tmp_path: Path, codecs: Sequence[str]
    ) -> None:
        stored = whole(saved_frames, tmp_path)
        for codec in codecs:
            stored.refused_as_damaged(
                digest(stored.data), compression=None, codec=codec, filename="weights.bin"
            )

    def test_a_ref_that_says_plain_bytes_are_frames_is_refused(
        self, saved_parts: Stored, tmp_path: Path
    ) -> None:
        stored = whole(saved_parts, tmp_path)
        lying = Compression(size_bytes=3 * PART_BYTES, frames=(PART_BYTES, 900, 100))
        stored.refused_as_damaged("frame [012] of 3: it is damaged", compression=lying)

    def test_a_missing_object_is_told_as_missing(
        self, saved_frames: Stored, tmp_path: Path, codecs: Sequence[str]
    ) -> None:
        stored = whole(saved_frames, tmp_path)
        stored.place.remove(stored.key)
        for codec in codecs:
            error = stored.refused(ArtifactNotFoundError, codec=codec, filename="weights.bin")
            assert f"at {stored.uri}, found nothing" in error.why


@pytest.mark.parametrize(
    "value",
    [b"small", LARGE, SHRINKING],
    ids=["one part", "several parts", "compressed"],
)
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: flipped(data, -1), id="a flipped bit"),
        pytest.param(lambda data: data[:-1], id="one byte short"),
        pytest.param(lambda data: data + b"\0", id="a byte more"),
    ],
)
def test_storing_a_value_again_mends_what_is_damaged(
    place: Place, tmp_path: Path, value: bytes, damage: Damage
) -> None:
    key = artifact_key(save_value(place.store, "weights", value).sha256)
    whole = place.store.get(key)
    place.store.put(key, damage(whole))
    ref = save_value(place.store, "weights", value)
    assert place.store.get(key) == whole
    assert load_value(place.store, ref, "weights", tmp_path) == value
