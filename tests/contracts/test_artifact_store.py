"""The contract of all artifact stores, followed by tests that are specific to one store."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zstandard
from botocore.awsrequest import AWSResponse, HTTPHeaders
from botocore.exceptions import ConnectionClosedError
from urllib3.exceptions import ProtocolError

from flowyml_aws.artifacts.compression import CompressedContent
from flowyml_aws.artifacts.content import PART_BYTES, Content, Parts
from flowyml_aws.artifacts.errors import InvalidKeyError, UnstorableValueError
from flowyml_aws.artifacts.layout import use_key
from flowyml_aws.artifacts.store import FRESH_S, ArtifactStore
from flowyml_aws.aws.s3.patience import CLIENT, Repetition
from flowyml_aws.aws.s3.store import S3ArtifactStore
from flowyml_aws.core.errors import (
    ArtifactNotFoundError,
    AwsRefusedError,
    AwsUnavailableError,
    DamagedArtifactError,
    SettingsError,
)
from flowyml_aws.local.directory import DirectoryArtifactStore
from tests.support.clocks import TestClock
from tests.support.stores import date_back

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

pytestmark = pytest.mark.contract

BIG = os.urandom(1 << 20) * 33  # three parts, the last one short


def read(store: ArtifactStore, key: str, start: int, end: int) -> bytes:
    buffer = bytearray(end - start)
    store.read_into(key, start, memoryview(buffer))
    return bytes(buffer)


def test_get_returns_the_document_that_was_put(store: ArtifactStore) -> None:
    store.put("runs/r/run.json", b"\x00{}")
    assert store.get("runs/r/run.json") == b"\x00{}"


def test_an_empty_document_can_be_stored(store: ArtifactStore) -> None:
    store.put("empty", b"")
    assert store.get("empty") == b""


def test_put_replaces_an_existing_document(store: ArtifactStore) -> None:
    store.put("a/b", b"first and longer")
    store.put("a/b", b"second")
    assert store.get("a/b") == b"second"


def test_a_missing_document_is_an_error_that_names_it(store: ArtifactStore) -> None:
    store.put("runs/r/plan.json", b"{}")
    with pytest.raises(ArtifactNotFoundError) as caught:
        store.get("runs/r/run.json")
    assert f"{store.uri}/runs/r/run.json" in caught.value.what


def test_a_prefix_is_not_a_document(store: ArtifactStore) -> None:
    store.put("runs/r/plan.json", b"{}")
    with pytest.raises(ArtifactNotFoundError):
        store.get("runs/r")


def test_create_writes_a_document_that_does_not_exist(store: ArtifactStore) -> None:
    assert store.create("jobs/a/result.json", b"first")
    assert store.get("jobs/a/result.json") == b"first"


def test_create_does_not_replace_an_existing_document(store: ArtifactStore) -> None:
    store.put("jobs/a/result.json", b"first")
    assert not store.create("jobs/a/result.json", b"second")
    assert store.get("jobs/a/result.json") == b"first"


def test_exactly_one_of_eight_concurrent_creates_succeeds(store: ArtifactStore) -> None:
    barrier = threading.Barrier(8)

    def create(writer: int) -> bool:
        barrier.wait()
        return store.create("result.json", b"%d" % writer)

    with ThreadPoolExecutor(8) as pool:
        created = list(pool.map(create, range(8)))
    assert created.count(True) == 1
    assert store.get("result.json") == b"%d" % created.index(True)


def test_the_age_of_a_document_is_that_of_its_last_write(store: ArtifactStore) -> None:
    store.put("submissions/1.json", b"going")
    date_back(store, "submissions/1.json", 100)
    assert 98 <= store.age_s("submissions/1.json") < 200  # S3's times are whole seconds
    store.put("submissions/1.json", b"complete")
    assert store.age_s("submissions/1.json") < 98


def test_a_document_that_was_just_written_has_no_age(store: ArtifactStore) -> None:
    store.put("a", b"")
    assert 0 <= store.age_s("a") < 60
    with pytest.raises(ArtifactNotFoundError):
        store.age_s("b")


def test_children_are_the_sorted_names_one_level_below(store: ArtifactStore) -> None:
    for key in ("runs/b/plan.json", "runs/a/jobs/x/spec.json", "runs/note", "runs-else/z"):
        store.put(key, b"")
    assert store.children("runs/") == ["a", "b", "note"]
    assert store.children("runs/a/jobs/") == ["x"]
    assert store.children("") == ["runs", "runs-else"]


def test_a_prefix_without_objects_has_no_children(store: ArtifactStore) -> None:
    assert store.children("runs/") == []
    store.put("runs/a", b"")
    assert store.children("runs/missing/") == []
    assert store.children("runs/a/") == []


def test_walk_yields_every_object_below_a_prefix_with_size_and_age(
    store: ArtifactStore,
) -> None:
    before = time.time() - 2  # S3 reports whole seconds
    for key in ("runs/b/plan.json", "runs/a/jobs/x/spec.json", "runs-else/z"):
        store.put(key, b"123")
    entries = {entry.key: entry for entry in store.walk("runs/")}
    assert entries.keys() == {"runs/b/plan.json", "runs/a/jobs/x/spec.json"}
    assert {entry.size_bytes for entry in entries.values()} == {3}
    assert all(before <= entry.modified_at <= time.time() + 1 for entry in entries.values())
    assert len(list(store.walk(""))) == 3
    assert list(store.walk("nothing/")) == []


def test_delete_removes_only_the_given_objects(store: ArtifactStore) -> None:
    keys = ["runs/a/run.json", "runs/a/jobs/x/spec.json", "runs/b/run.json"]
    for key in keys:
        store.put(key, b"")
    store.delete([*keys[:2], "runs/never/run.json"])
    store.delete([])
    assert [entry.key for entry in store.walk("")] == keys[2:]
    assert store.children("runs/") == ["b"]


def test_more_objects_than_fit_into_one_call_can_be_deleted(store: ArtifactStore) -> None:
    keys = [f"cache/{number}.json" for number in range(1001)]
    for key in (keys[0], keys[999], keys[1000]):  # missing keys are ignored
        store.put(key, b"")
    store.delete(keys)
    assert list(store.walk("")) == []


def test_uploading_an_old_content_again_makes_it_fresh(
    store: ArtifactStore,
) -> None:
    content = Content(BIG[:10])
    store.upload("artifacts/aa/aa", content)
    date_back(store, "artifacts/aa/aa", 2 * FRESH_S)
    (old,) = store.walk("")
    assert old.modified_at < time.time() - FRESH_S
    store.upload("artifacts/aa/aa", content)
    entries = list(store.walk(""))  # the object, and its marker if the store has one
    assert {entry.key for entry in entries} <= {"artifacts/aa/aa", use_key("artifacts/aa/aa")}
    assert max(entry.modified_at for entry in entries) > time.time() - 60


@pytest.mark.parametrize("size", [0, 1, len(BIG)])
def test_a_store_holds_an_object_only_with_its_size(store: ArtifactStore, size: int) -> None:
    content = Content(BIG[:size])
    assert not store.holds("artifacts/aa/aa", content.sha256, size)
    store.upload("artifacts/aa/aa", content)
    assert store.holds("artifacts/aa/aa", content.sha256, size)
    assert not store.holds("artifacts/aa/aa", content.sha256, size + 1)


@pytest.mark.parametrize("size", [0, 1, PART_BYTES, len(BIG)])
def test_a_content_of_any_size_can_be_stored(store: ArtifactStore, size: int) -> None:
    data = BIG[:size]
    store.upload("artifacts/aa/aa", Content(data))
    assert read(store, "artifacts/aa/aa", 0, size) == data


def test_any_range_of_a_content_can_be_read(store: ArtifactStore) -> None:
    store.upload("artifacts/aa/aa", Content(BIG))
    for start, end in ((0, 1), (PART_BYTES - 3, PART_BYTES + 5), (len(BIG) - 1, len(BIG))):
        assert read(store, "artifacts/aa/aa", start, end) == BIG[start:end]


def test_a_file_can_be_uploaded(store: ArtifactStore, tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(BIG)
    store.upload("artifacts/aa/aa", Content.of_file(path))
    assert read(store, "artifacts/aa/aa", 0, len(BIG)) == BIG


def test_a_compressed_content_is_stored_as_one_zstd_stream(
    store: ArtifactStore,
) -> None:
    data = BIG.hex()[: len(BIG)].encode()
    content = CompressedContent(Content(data))
    assert len(content.part_sizes) == 3
    store.upload("artifacts/aa/aa", content)
    stored = read(store, "artifacts/aa/aa", 0, content.size_bytes)
    with zstandard.ZstdDecompressor().stream_reader(stored, read_across_frames=True) as reader:
        assert reader.read() == data


def test_two_writers_can_store_the_same_content_at_once(store: ArtifactStore) -> None:
    barrier = threading.Barrier(2)

    def upload(_: int) -> None:
        barrier.wait()
        store.upload("artifacts/aa/aa", Content(BIG))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(upload, range(2)))
    assert read(store, "artifacts/aa/aa", 0, len(BIG)) == BIG


def test_an_upload_replaces_an_object_of_a_different_size(store: ArtifactStore) -> None:
    store.put("artifacts/aa/aa", b"trunc")
    store.upload("artifacts/aa/aa", Content(b"truncated"))
    assert store.get("artifacts/aa/aa") == b"truncated"


@pytest.mark.parametrize("offset", [2, 4, 9])
def test_reading_past_the_end_is_an_error_that_names_the_object(
    store: ArtifactStore, offset: int
) -> None:
    store.put("artifacts/aa/aa", b"four")
    with pytest.raises(DamagedArtifactError) as caught:
        read(store, "artifacts/aa/aa", offset, offset + 3)
    assert f"{store.uri}/artifacts/aa/aa" in caught.value.what
    assert str(offset + 3) in caught.value.why


@pytest.mark.parametrize("size", [0, 5])
def test_reading_a_missing_content_is_an_error_that_names_it(
    store: ArtifactStore, size: int
) -> None:
    with pytest.raises(ArtifactNotFoundError, match="artifacts/aa/aa"):
        read(store, "artifacts/aa/aa", 0, size)


@pytest.mark.parametrize(
    "key",
    ["", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "a/.b", "a\\b", "a\0b", "a\nb", "\ud800"],
)
def test_a_key_outside_the_store_is_rejected(store: ArtifactStore, key: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: store.get(key),
        lambda: store.put(key, b""),
        lambda: store.create(key, b""),
        lambda: store.upload(key, Content(b"")),
        lambda: store.read_into(key, 0, memoryview(bytearray(1))),
        lambda: store.children(f"{key}/"),
    ]
    for call in calls:
        with pytest.raises(InvalidKeyError):
            call()


def test_a_prefix_without_a_trailing_slash_is_rejected(store: ArtifactStore) -> None:
    with pytest.raises(InvalidKeyError):
        store.children("runs")


def test_a_store_can_be_opened_by_its_uri(
    store: ArtifactStore, request: pytest.FixtureRequest
) -> None:
    store.put("a", b"1")
    opened: ArtifactStore
    if isinstance(store, S3ArtifactStore):
        opened = S3ArtifactStore.from_uri(request.getfixturevalue("s3"), store.uri)
    else:
        opened = DirectoryArtifactStore.from_uri(store.uri)
    assert opened.get("a") == b"1"
    assert opened.uri == store.uri


class TestDirectoryArtifactStore:
    def test_a_path_with_spaces_can_be_opened_by_its_uri(self, tmp_path: Path) -> None:
        store = DirectoryArtifactStore(tmp_path / "my folder")
        store.put("a", b"1")
        assert DirectoryArtifactStore.from_uri(store.uri).get("a") == b"1"

    def test_leftover_files_of_dead_writers_are_deleted(self, tmp_path: Path) -> None:
        store = DirectoryArtifactStore(tmp_path)
        store.put("a", b"1")
        for name, age in (("left", 100.0), ("being-written", 0.0)):
            path = tmp_path / ".incoming" / name
            path.write_bytes(b"")
            os.utime(path, (time.time() - age, time.time() - age))
        assert store.clear_unfinished(time.time() - 50) == 1
        assert [path.name for path in (tmp_path / ".incoming").iterdir()] == ["being-written"]
        assert [entry.key for entry in store.walk("")] == ["a"]

    def test_concurrent_writes_and_deletes_in_one_folder_do_not_interfere(
        self, tmp_path: Path
    ) -> None:
        store = DirectoryArtifactStore(tmp_path)

        def write(number: int) -> None:
            store.put(f"runs/r/jobs/{number}.json", b"")
            store.delete([f"runs/r/jobs/{number}.json"])

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(write, range(400)))
        assert list(store.walk("")) == []

    def test_a_new_store_is_ignored_by_git(self, tmp_path: Path) -> None:
        DirectoryArtifactStore(tmp_path / "new" / "store").put("a", b"")
        assert (tmp_path / "new" / "store" / ".gitignore").read_text() == "*\n"

    def test_an_existing_directory_gets_no_gitignore(self, tmp_path: Path) -> None:
        DirectoryArtifactStore(tmp_path).put("a", b"")
        assert not (tmp_path / ".gitignore").exists()

    def test_reading_creates_no_directory(self, tmp_path: Path) -> None:
        store = DirectoryArtifactStore(tmp_path / "store")
        with pytest.raises(ArtifactNotFoundError):
            store.get("a")
        assert not (tmp_path / "store").exists()

    def test_a_failed_upload_leaves_no_files(self, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.write_bytes(b"before")
        content = Content.of_file(source)
        source.write_bytes(b"other bytes")
        store = DirectoryArtifactStore(tmp_path / "store")
        with pytest.raises(UnstorableValueError, match="changed while"):
            store.upload("a", content)
        assert store.children("") == []
        assert list((tmp_path / "store" / ".incoming").iterdir()) == []

    def test_an_existing_content_is_not_written_again(self, tmp_path: Path) -> None:
        store = DirectoryArtifactStore(tmp_path)
        store.upload("a", Content(b"same"))
        before = store.path("a").stat().st_ino
        store.upload("a", Content(b"same"))
        assert store.path("a").stat().st_ino == before

    def test_exactly_one_of_several_processes_creates_a_document(self, tmp_path: Path) -> None:
        program = (
            "import sys; from pathlib import Path\n"
            "from flowyml_aws.local.directory import DirectoryArtifactStore\n"
            "store = DirectoryArtifactStore(Path(sys.argv[1]))\n"
            "print('ready', flush=True); sys.stdin.read()\n"
            "print(sum(store.create(f'results/{n}', b'') for n in range(200)))\n"
        )
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", program, str(tmp_path / "store")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(3)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()
            process.stdin = None
        outputs = [process.communicate(timeout=30)[0] for process in processes]
        assert sum(map(int, outputs)) == 200

    def test_a_path_below_a_file_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(SettingsError, match="file"):
            DirectoryArtifactStore(tmp_path / "file" / "store").put("a", b"")

    def test_a_uri_of_another_scheme_is_an_error(self) -> None:
        with pytest.raises(SettingsError, match="s3://bucket"):
            DirectoryArtifactStore.from_uri("s3://bucket")


class StubbedResponses:
    """S3 responses that replace the first requests of an operation; counts all its requests."""

    def __init__(self, client: S3Client, operation: str, responses: list[AWSResponse]) -> None:
        self.calls = 0
        self._responses = responses
        events: Any = client.meta.events
        events.register(f"before-send.s3.{operation}", self)

    def __call__(self, **_: Any) -> AWSResponse | None:
        self.calls += 1
        return self._responses.pop(0) if self._responses else None


class BrokenBody:
    """The body of a response whose connection breaks after these bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def stream(self) -> list[bytes]:
        return [self._data]

    def read(self, count: int | None = None) -> bytes:
        if not self._data:
            raise ProtocolError("Connection broken")
        data, self._data = self._data[:count], self._data[len(self._data[:count]) :]
        return data

    def close(self) -> None:
        pass


def make_response(status: int, data: bytes, length: int) -> AWSResponse:
    headers = HTTPHeaders()
    headers["content-length"] = str(length)
    return AWSResponse("http://s3", status, headers, BrokenBody(data))


def refusal(status: int, code: str) -> AWSResponse:
    body = f"<Error><Code>{code}</Code><Message>S3's message</Message></Error>".encode()
    return make_response(status, body, len(body))


class TestS3ArtifactStore:
    @pytest.fixture
    def store(self, s3: S3Client, bucket: str) -> S3ArtifactStore:
        clock = TestClock()
        return S3ArtifactStore(s3, bucket, "p", Repetition(CLIENT, sleep=clock.sleep, clock=clock))

    def test_a_whole_bucket_can_be_the_store(self, s3: S3Client, bucket: str) -> None:
        store = S3ArtifactStore.from_uri(s3, f"s3://{bucket}/")
        store.put("a/b", b"1")
        assert store.uri == f"s3://{bucket}"
        assert s3.get_object(Bucket=bucket, Key="a/b")["Body"].read() == b"1"
        assert store.children("") == ["a"]

    def test_a_uri_of_another_scheme_is_an_error(self, s3: S3Client) -> None:
        for uri in ("file:///tmp", "s3://", "bucket"):
            with pytest.raises(SettingsError, match="S3"):
                S3ArtifactStore.from_uri(s3, uri)

    def test_children_are_read_from_all_pages(
        self, store: S3ArtifactStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
        for name in "edcba":
            store.put(f"runs/{name}", b"")
            store.put(f"runs/{name}-folder/x", b"")
        assert store.children("runs/") == sorted(
            [*"abcde", *(f"{name}-folder" for name in "abcde")]
        )

    def test_the_empty_marker_object_of_a_folder_is_not_a_child(
        self, store: S3ArtifactStore, s3: S3Client, bucket: str
    ) -> None:
        s3.put_object(Bucket=bucket, Key="p/runs/", Body=b"")
        store.put("runs/a", b"")
        assert store.children("runs/") == ["a"]

    @pytest.mark.parametrize("data", [b"small", BIG], ids=["one part", "several parts"])
    def test_an_existing_content_is_not_uploaded_again(
        self, store: S3ArtifactStore, s3: S3Client, data: bytes
    ) -> None:
        store.upload("a", Content(data))
        puts, parts = StubbedResponses(s3, "PutObject", []), StubbedResponses(s3, "UploadPart", [])
        store.upload("a", Content(data))
        assert (puts.calls, parts.calls) == (0, 0)

    def test_a_different_content_of_the_same_size_is_replaced(self, store: S3ArtifactStore) -> None:
        store.put("a", b"damaged")
        store.upload("a", Content(b"correct"))
        assert store.get("a") == b"correct"

    def test_a_missing_bucket_is_not_reported_as_a_missing_object(self, s3: S3Client) -> None:
        store = S3ArtifactStore(s3, "no-such-bucket", "p")
        calls: list[Callable[[], object]] = [
            lambda: store.get("a"),
            lambda: store.put("a", b""),
            lambda: store.create("a", b""),
            lambda: store.children(""),
            lambda: store.upload("a", Content(b"")),
            lambda: store.upload("a", Content(BIG)),
            lambda: store.read_into("a", 0, memoryview(bytearray(1))),
        ]
        for call in calls:
            with pytest.raises(AwsRefusedError, match="create the bucket"):
                call()

    @pytest.mark.parametrize(
        ("status", "code", "fix"),
        [
            (403, "AccessDenied", "s3:ListBucket"),
            (400, "ExpiredToken", "sign in again"),
            (403, "InvalidAccessKeyId", "correct the keys"),
            (403, "SignatureDoesNotMatch", "secret key"),
            (301, "PermanentRedirect", "AWS_REGION"),
            (503, "SlowDown", "wait a minute"),
            (418, "Teapot", "correct what AWS reports"),
        ],
    )
    def test_a_refused_call_is_reported_with_a_fix_and_never_as_missing(
        self, store: S3ArtifactStore, s3: S3Client, status: int, code: str, fix: str
    ) -> None:
        StubbedResponses(s3, "GetObject", [refusal(status, code) for _ in range(99)])
        with pytest.raises(AwsRefusedError) as caught:
            store.get("a")
        assert f"{store.uri}/a" in caught.value.what
        assert code in caught.value.why
        assert fix in caught.value.fix

    def test_a_denied_head_request_is_an_error_and_nothing_is_uploaded(
        self, store: S3ArtifactStore, s3: S3Client
    ) -> None:
        StubbedResponses(s3, "HeadObject", [make_response(403, b"", 0)])
        puts = StubbedResponses(s3, "PutObject", [])
        with pytest.raises(AwsRefusedError, match="s3:GetObject"):
            store.upload("a", Content(b"x"))
        assert puts.calls == 0

    def test_a_create_that_conflicts_with_another_write_is_retried(
        self, store: S3ArtifactStore, s3: S3Client
    ) -> None:
        conflict = "ConditionalRequestConflict"
        puts = StubbedResponses(s3, "PutObject", [refusal(409, conflict), refusal(409, conflict)])
        assert store.create("result.json", b"mine")
        assert puts.calls == 3
        assert store.get("result.json") == b"mine"

    def test_a_create_that_always_conflicts_fails(
        self, store: S3ArtifactStore, s3: S3Client
    ) -> None:
        StubbedResponses(
            s3, "PutObject", [refusal(409, "ConditionalRequestConflict") for _ in range(99)]
        )
        with pytest.raises(AwsRefusedError, match="ConditionalRequestConflict"):
            store.create("result.json", b"mine")

    def test_a_create_whose_response_was_lost_succeeds(
        self, store: S3ArtifactStore, s3: S3Client
    ) -> None:
        # boto3 treats the first response, a success, as lost, and sends the request again.
        lost = [0]
        events: Any = s3.meta.events
        events.register_first("needs-retry.s3.PutObject", lambda **_: lost.pop() if lost else None)
        assert store.create("result.json", b"mine")
        assert lost == []

    def test_a_retried_create_that_lost_to_another_writer_returns_false(
        self, store: S3ArtifactStore, s3: S3Client
    ) -> None:
        store.create("result.json", b"theirs")
        StubbedResponses(s3, "PutObject", [refusal(503, "SlowDown")])
        assert not store.create("result.json", b"mine")

    def test_a_read_resumes_after_a_broken_connection(
        self, store: S3ArtifactStore, s3: S3Client
    ) -> None:
        store.put("a", b"0123456789")
        StubbedResponses(
            s3, "GetObject", [make_response(200, b"012", 10), make_response(200, b"01", 10)]
        )
        assert read(store, "a", 0, 10) == b"0123456789"
        StubbedResponses(s3, "GetObject", [make_response(200, b"012", 10)])
        assert store.get("a") == b"0123456789"

    def test_a_read_whose_connection_always_breaks_is_an_error(
        self, store: S3ArtifactStore, s3: S3Client
    ) -> None:
        StubbedResponses(s3, "GetObject", [make_response(200, b"012", 10) for _ in range(99)])
        with pytest.raises(AwsUnavailableError, match="check the network"):
            read(store, "a", 0, 10)

    def test_every_call_is_repeated_in_an_outage_that_botocore_does_not_wait_for(
        self, store: S3ArtifactStore, s3: S3Client
    ) -> None:
        calls: dict[str, Callable[[], object]] = {
            "PutObject": lambda: store.put("a", b"1"),
            "GetObject": lambda: store.get("a"),
            "HeadObject": lambda: store.read_into("a", 0, memoryview(bytearray())),
            "ListObjectsV2": lambda: (store.children(""), list(store.walk(""))),
            "CreateMultipartUpload": lambda: store.upload("b", Content(BIG)),
            "CompleteMultipartUpload": lambda: store.upload("c", Content(BIG)),
            "DeleteObjects": lambda: store.delete(["a"]),
            "ListMultipartUploads": lambda: store.clear_unfinished(0.0),
        }
        for operation, call in calls.items():
            outage = StubbedResponses(s3, operation, [refusal(503, "SlowDown") for _ in range(8)])
            call()
            assert outage.calls > 8, operation

    def test_a_create_that_succeeds_during_an_outage_is_not_taken_for_another_writers(
        self, store: S3ArtifactStore, s3: S3Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put_object, lost = s3.put_object, [ConnectionClosedError(endpoint_url="https://s3")]

        def put_and_lose_the_answer(**request: Any) -> object:
            answer = put_object(**request)
            if lost:
                raise lost.pop()
            return answer

        monkeypatch.setattr(s3, "put_object", put_and_lose_the_answer)
        assert store.create("result.json", b"mine")
        assert lost == []

    def test_only_the_failed_part_is_uploaded_again(
        self, store: S3ArtifactStore, s3: S3Client
    ) -> None:
        parts = StubbedResponses(s3, "UploadPart", [refusal(503, "SlowDown")])
        store.upload("a", Content(BIG))
        assert parts.calls == 3 + 1
        assert read(store, "a", 0, len(BIG)) == BIG

    def test_a_failed_upload_leaves_no_parts(
        self, store: S3ArtifactStore, s3: S3Client, bucket: str
    ) -> None:
        StubbedResponses(s3, "UploadPart", [refusal(403, "AccessDenied")])
        with pytest.raises(AwsRefusedError, match="s3:PutObject"):
            store.upload("a", Content(BIG))
        assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
        assert store.children("") == []

    @pytest.mark.parametrize("kind", [Content, lambda data: CompressedContent(Content(data))])
    def test_s3_verifies_the_checksum_of_every_part_and_of_the_object(
        self, store: S3ArtifactStore, s3: S3Client, bucket: str, kind: Callable[[bytes], Parts]
    ) -> None:
        content = kind(BIG)
        store.upload("a", content)
        head = s3.head_object(Bucket=bucket, Key="p/a", ChecksumMode="ENABLED")
        checksum = head["ChecksumSHA256"].partition("-")[0]
        assert base64.b64decode(checksum).hex() == content.sha256

    def test_unfinished_uploads_are_aborted(
        self, store: S3ArtifactStore, s3: S3Client, bucket: str
    ) -> None:
        for key in ("p/a", "p/b", "elsewhere/c"):
            s3.create_multipart_upload(Bucket=bucket, Key=key)
        assert store.clear_unfinished(0.0) == 0
        assert store.clear_unfinished(time.time()) == 2
        (left,) = s3.list_multipart_uploads(Bucket=bucket)["Uploads"]
        assert left["Key"] == "elsewhere/c"

    def test_a_denied_deletion_is_an_error_that_names_the_object(
        self, store: S3ArtifactStore, s3: S3Client
    ) -> None:
        body = (
            b"<DeleteResult><Error><Key>p/a</Key><Code>AccessDenied</Code>"
            b"<Message>Access Denied</Message></Error></DeleteResult>"
        )
        StubbedResponses(s3, "DeleteObjects", [make_response(200, body, len(body))])
        with pytest.raises(AwsRefusedError, match="1 of 2 objects") as caught:
            store.delete(["a", "b"])
        assert "p/a: Access Denied" in caught.value.why
