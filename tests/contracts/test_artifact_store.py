"""What every artifact store does, and below that what only one kind can get wrong."""

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
from urllib3.exceptions import ProtocolError

from flowyml_aws.artifacts.compression import CompressedContent
from flowyml_aws.artifacts.content import PART_BYTES, Content, Parts
from flowyml_aws.artifacts.errors import InvalidKeyError, UnstorableValueError
from flowyml_aws.artifacts.store import FRESH_S, ArtifactStore
from flowyml_aws.aws.s3 import S3ArtifactStore
from flowyml_aws.core.errors import (
    ArtifactNotFoundError,
    AwsRefusedError,
    DamagedArtifactError,
    SettingsError,
)
from flowyml_aws.local.directory import DirectoryArtifactStore
from tests.support.stores import date_back

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

pytestmark = pytest.mark.contract

BIG = os.urandom(1 << 20) * 33  # three parts, the last one short


def read(store: ArtifactStore, key: str, start: int, end: int) -> bytes:
    buffer = bytearray(end - start)
    store.read_into(key, start, memoryview(buffer))
    return bytes(buffer)


def test_a_document_comes_back_as_it_was_put(store: ArtifactStore) -> None:
    store.put("runs/r/run.json", b"\x00{}")
    assert store.get("runs/r/run.json") == b"\x00{}"


def test_an_empty_document_comes_back(store: ArtifactStore) -> None:
    store.put("empty", b"")
    assert store.get("empty") == b""


def test_put_replaces_what_lies_there(store: ArtifactStore) -> None:
    store.put("a/b", b"first and longer")
    store.put("a/b", b"second")
    assert store.get("a/b") == b"second"


def test_a_missing_document_is_an_error_that_names_it(store: ArtifactStore) -> None:
    store.put("runs/r/plan.json", b"{}")
    with pytest.raises(ArtifactNotFoundError) as caught:
        store.get("runs/r/run.json")
    assert f"{store.uri}/runs/r/run.json" in caught.value.what


def test_a_prefix_is_no_document(store: ArtifactStore) -> None:
    store.put("runs/r/plan.json", b"{}")
    with pytest.raises(ArtifactNotFoundError):
        store.get("runs/r")


def test_create_writes_where_nothing_lies(store: ArtifactStore) -> None:
    assert store.create("jobs/a/result.json", b"first")
    assert store.get("jobs/a/result.json") == b"first"


def test_create_leaves_what_lies_there(store: ArtifactStore) -> None:
    store.put("jobs/a/result.json", b"first")
    assert not store.create("jobs/a/result.json", b"second")
    assert store.get("jobs/a/result.json") == b"first"


def test_of_eight_concurrent_creates_exactly_one_wins(store: ArtifactStore) -> None:
    together = threading.Barrier(8)

    def create(writer: int) -> bool:
        together.wait()
        return store.create("result.json", b"%d" % writer)

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(create, range(8)))
    assert won.count(True) == 1
    assert store.get("result.json") == b"%d" % won.index(True)


def test_children_are_the_names_directly_below_sorted(store: ArtifactStore) -> None:
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


def test_a_walk_tells_every_object_below_a_prefix_with_its_size_and_age(
    store: ArtifactStore,
) -> None:
    before = time.time() - 2  # S3 tells whole seconds
    for key in ("runs/b/plan.json", "runs/a/jobs/x/spec.json", "runs-else/z"):
        store.put(key, b"123")
    found = {entry.key: entry for entry in store.walk("runs/")}
    assert found.keys() == {"runs/b/plan.json", "runs/a/jobs/x/spec.json"}
    assert {entry.size_bytes for entry in found.values()} == {3}
    assert all(before <= entry.modified_at <= time.time() + 1 for entry in found.values())
    assert len(list(store.walk(""))) == 3
    assert list(store.walk("nothing/")) == []


def test_deleted_objects_are_gone_and_others_stay(store: ArtifactStore) -> None:
    keys = ["runs/a/run.json", "runs/a/jobs/x/spec.json", "runs/b/run.json"]
    for key in keys:
        store.put(key, b"")
    store.delete([*keys[:2], "runs/never/run.json"])
    store.delete([])
    assert [entry.key for entry in store.walk("")] == keys[2:]
    assert store.children("runs/") == ["b"]


def test_more_objects_than_one_call_takes_are_deleted(store: ArtifactStore) -> None:
    keys = [f"cache/{number}.json" for number in range(1001)]
    for key in (keys[0], keys[999], keys[1000]):  # missing keys are ignored
        store.put(key, b"")
    store.delete(keys)
    assert list(store.walk("")) == []


def test_what_lies_there_for_long_is_fresh_again_once_it_is_stored_again(
    store: ArtifactStore,
) -> None:
    content = Content(BIG[:10])
    store.upload("artifacts/aa/aa", content)
    date_back(store, "artifacts/aa/aa", 2 * FRESH_S)
    (old,) = store.walk("")
    assert old.modified_at < time.time() - FRESH_S
    store.upload("artifacts/aa/aa", content)
    (entry,) = store.walk("")
    assert entry.modified_at > time.time() - 60


@pytest.mark.parametrize("size", [0, 1, PART_BYTES, len(BIG)])
def test_a_content_comes_back_whole(store: ArtifactStore, size: int) -> None:
    data = BIG[:size]
    store.upload("artifacts/aa/aa", Content(data))
    assert read(store, "artifacts/aa/aa", 0, size) == data


def test_any_range_of_a_content_can_be_read(store: ArtifactStore) -> None:
    store.upload("artifacts/aa/aa", Content(BIG))
    for start, end in ((0, 1), (PART_BYTES - 3, PART_BYTES + 5), (len(BIG) - 1, len(BIG))):
        assert read(store, "artifacts/aa/aa", start, end) == BIG[start:end]


def test_a_content_made_of_files_and_buffers_comes_back(
    store: ArtifactStore, tmp_path: Path
) -> None:
    path = tmp_path / "big"
    path.write_bytes(BIG)
    store.upload("artifacts/aa/aa", Content.of_file(path))
    assert read(store, "artifacts/aa/aa", 0, len(BIG)) == BIG


def test_a_compressed_content_lies_there_as_one_stream_that_zstd_reads(
    store: ArtifactStore,
) -> None:
    data = BIG.hex()[: len(BIG)].encode()
    content = CompressedContent(Content(data))
    assert len(content.part_sizes) == 3
    store.upload("artifacts/aa/aa", content)
    stored = read(store, "artifacts/aa/aa", 0, content.size_bytes)
    with zstandard.ZstdDecompressor().stream_reader(stored, read_across_frames=True) as reader:
        assert reader.read() == data


def test_the_same_content_can_be_stored_by_two_at_once(store: ArtifactStore) -> None:
    together = threading.Barrier(2)

    def upload(_: int) -> None:
        together.wait()
        store.upload("artifacts/aa/aa", Content(BIG))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(upload, range(2)))
    assert read(store, "artifacts/aa/aa", 0, len(BIG)) == BIG


def test_an_upload_replaces_a_leftover_of_another_size(store: ArtifactStore) -> None:
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
def test_a_key_that_could_leave_the_store_is_refused(store: ArtifactStore, key: str) -> None:
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


def test_a_prefix_without_a_slash_is_refused(store: ArtifactStore) -> None:
    with pytest.raises(InvalidKeyError):
        store.children("runs")


def test_a_store_is_found_again_by_its_uri(
    store: ArtifactStore, request: pytest.FixtureRequest
) -> None:
    store.put("a", b"1")
    again: ArtifactStore
    if isinstance(store, S3ArtifactStore):
        again = S3ArtifactStore.from_uri(request.getfixturevalue("s3"), store.uri)
    else:
        again = DirectoryArtifactStore.from_uri(store.uri)
    assert again.get("a") == b"1"
    assert again.uri == store.uri


class TestDirectoryArtifactStore:
    def test_a_path_with_spaces_is_found_again_by_its_uri(self, tmp_path: Path) -> None:
        store = DirectoryArtifactStore(tmp_path / "mein ordner")
        store.put("a", b"1")
        assert DirectoryArtifactStore.from_uri(store.uri).get("a") == b"1"

    def test_files_that_dead_writers_left_are_cleared(self, tmp_path: Path) -> None:
        store = DirectoryArtifactStore(tmp_path)
        store.put("a", b"1")
        for name, age in (("left", 100.0), ("being-written", 0.0)):
            path = tmp_path / ".incoming" / name
            path.write_bytes(b"")
            os.utime(path, (time.time() - age, time.time() - age))
        assert store.clear_unfinished(time.time() - 50) == 1
        assert [path.name for path in (tmp_path / ".incoming").iterdir()] == ["being-written"]
        assert [entry.key for entry in store.walk("")] == ["a"]

    def test_a_writer_and_who_removes_its_neighbours_do_not_disturb_each_other(
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

    def test_a_directory_of_the_user_gets_no_gitignore(self, tmp_path: Path) -> None:
        DirectoryArtifactStore(tmp_path).put("a", b"")
        assert not (tmp_path / ".gitignore").exists()

    def test_reading_makes_no_directory(self, tmp_path: Path) -> None:
        store = DirectoryArtifactStore(tmp_path / "store")
        with pytest.raises(ArtifactNotFoundError):
            store.get("a")
        assert not (tmp_path / "store").exists()

    def test_a_failed_upload_leaves_nothing_behind(self, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.write_bytes(b"before")
        content = Content.of_file(source)
        source.write_bytes(b"other bytes")
        store = DirectoryArtifactStore(tmp_path / "store")
        with pytest.raises(UnstorableValueError, match="changed while"):
            store.upload("a", content)
        assert store.children("") == []
        assert list((tmp_path / "store" / ".incoming").iterdir()) == []

    def test_a_content_that_lies_there_is_not_written_again(self, tmp_path: Path) -> None:
        store = DirectoryArtifactStore(tmp_path)
        store.upload("a", Content(b"same"))
        before = store.path("a").stat().st_ino
        store.upload("a", Content(b"same"))
        assert store.path("a").stat().st_ino == before

    def test_of_several_processes_exactly_one_creates(self, tmp_path: Path) -> None:
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

    def test_a_path_where_no_directory_can_be_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(SettingsError, match="file"):
            DirectoryArtifactStore(tmp_path / "file" / "store").put("a", b"")

    def test_another_kind_of_uri_is_an_error(self) -> None:
        with pytest.raises(SettingsError, match="s3://bucket"):
            DirectoryArtifactStore.from_uri("s3://bucket")


class Answer:
    """An answer of S3 that is given instead of sending the request, as often as asked."""

    def __init__(self, client: S3Client, operation: str, answers: list[AWSResponse]) -> None:
        self.calls = 0
        self._answers = answers
        events: Any = client.meta.events
        events.register(f"before-send.s3.{operation}", self)

    def __call__(self, **_: Any) -> AWSResponse | None:
        self.calls += 1
        return self._answers.pop(0) if self._answers else None


class Body:
    """Bytes of an answer whose connection breaks behind them."""

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


def answer(status: int, data: bytes, length: int) -> AWSResponse:
    headers = HTTPHeaders()
    headers["content-length"] = str(length)
    return AWSResponse("http://s3", status, headers, Body(data))


def refusal(status: int, code: str) -> AWSResponse:
    body = f"<Error><Code>{code}</Code><Message>as told by S3</Message></Error>".encode()
    return answer(status, body, len(body))


class TestS3ArtifactStore:
    @pytest.fixture
    def store(self, s3: S3Client, bucket: str) -> S3ArtifactStore:
        return S3ArtifactStore(s3, bucket, "p", sleep=lambda _: None)

    def test_a_whole_bucket_can_be_the_store(self, s3: S3Client, bucket: str) -> None:
        store = S3ArtifactStore.from_uri(s3, f"s3://{bucket}/")
        store.put("a/b", b"1")
        assert store.uri == f"s3://{bucket}"
        assert s3.get_object(Bucket=bucket, Key="a/b")["Body"].read() == b"1"
        assert store.children("") == ["a"]

    def test_another_kind_of_uri_is_an_error(self, s3: S3Client) -> None:
        for uri in ("file:///tmp", "s3://", "bucket"):
            with pytest.raises(SettingsError, match="S3"):
                S3ArtifactStore.from_uri(s3, uri)

    def test_children_are_read_page_by_page(
        self, store: S3ArtifactStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
        for name in "edcba":
            store.put(f"runs/{name}", b"")
            store.put(f"runs/{name}-folder/x", b"")
        assert store.children("runs/") == sorted(
            [*"abcde", *(f"{name}-folder" for name in "abcde")]
        )

    def test_the_empty_object_that_stands_for_a_folder_is_no_child(
        self, store: S3ArtifactStore, s3: S3Client, bucket: str
    ) -> None:
        s3.put_object(Bucket=bucket, Key="p/runs/", Body=b"")
        store.put("runs/a", b"")
        assert store.children("runs/") == ["a"]

    @pytest.mark.parametrize("data", [b"small", BIG], ids=["one part", "several parts"])
    def test_a_content_that_lies_there_is_not_sent_again(
        self, store: S3ArtifactStore, s3: S3Client, data: bytes
    ) -> None:
        store.upload("a", Content(data))
        puts, parts = Answer(s3, "PutObject", []), Answer(s3, "UploadPart", [])
        store.upload("a", Content(data))
        assert (puts.calls, parts.calls) == (0, 0)

    def test_another_content_of_the_same_size_is_replaced(self, store: S3ArtifactStore) -> None:
        store.put("a", b"damaged")
        store.upload("a", Content(b"correct"))
        assert store.get("a") == b"correct"

    def test_a_missing_bucket_is_told_as_that_and_not_as_a_missing_object(
        self, s3: S3Client
    ) -> None:
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
            (418, "Teapot", "read the message"),
        ],
    )
    def test_a_refused_call_is_told_with_a_way_out_and_never_as_missing(
        self, store: S3ArtifactStore, s3: S3Client, status: int, code: str, fix: str
    ) -> None:
        Answer(s3, "GetObject", [refusal(status, code) for _ in range(9)])
        with pytest.raises(AwsRefusedError) as caught:
            store.get("a")
        assert f"{store.uri}/a" in caught.value.what
        assert code in caught.value.why
        assert fix in caught.value.fix

    def test_a_denied_look_at_a_content_is_told_and_nothing_is_sent(
        self, store: S3ArtifactStore, s3: S3Client
    ) -> None:
        Answer(s3, "HeadObject", [answer(403, b"", 0)])
        puts = Answer(s3, "PutObject", [])
        with pytest.raises(AwsRefusedError, match="s3:GetObject"):
            store.upload("a", Content(b"x"))
        assert puts.calls == 0

    def test_a_create_that_meets_another_write_is_repeated(
        self, store: S3ArtifactStore, s3: S3Client
    ) -> None:
        conflict = "ConditionalRequestConflict"
        puts = Answer(s3, "PutObject", [refusal(409, conflict), refusal(409, conflict)])
        assert store.create("result.json", b"mine")
        assert puts.calls == 3
        assert store.get("result.json") == b"mine"

    def test_a_create_that_meets_other_writes_for_ever_gives_up(
        self, store: S3ArtifactStore, s3: S3Client
    ) -> None:
        Answer(s3, "PutObject", [refusal(409, "ConditionalRequestConflict") for _ in range(9)])
        with pytest.raises(AwsRefusedError, match="ConditionalRequestConflict"):
            store.create("result.json", b"mine")

    def test_a_create_whose_answer_was_lost_is_known_as_ones_own(
        self, store: S3ArtifactStore, s3: S3Client
    ) -> None:
        # boto3 is told that the first answer, a success, was lost: it sends the request again.
        lost = [0]
        events: Any = s3.meta.events
        events.register_first("needs-retry.s3.PutObject", lambda **_: lost.pop() if lost else None)
        assert store.create("result.json", b"mine")
        assert lost == []

    def test_a_repeated_create_that_lost_to_another_writer_is_told_so(
        self, store: S3ArtifactStore, s3: S3Client
    ) -> None:
        store.create("result.json", b"theirs")
        Answer(s3, "PutObject", [refusal(503, "SlowDown")])
        assert not store.create("result.json", b"mine")

    def test_a_read_whose_connection_breaks_is_taken_up_again(
        self, store: S3ArtifactStore, s3: S3Client
    ) -> None:
        store.put("a", b"0123456789")
        Answer(s3, "GetObject", [answer(200, b"012", 10), answer(200, b"01", 10)])
        assert read(store, "a", 0, 10) == b"0123456789"
        Answer(s3, "GetObject", [answer(200, b"012", 10)])
        assert store.get("a") == b"0123456789"

    def test_a_read_whose_connection_always_breaks_is_an_error(
        self, store: S3ArtifactStore, s3: S3Client
    ) -> None:
        Answer(s3, "GetObject", [answer(200, b"012", 10) for _ in range(9)])
        with pytest.raises(AwsRefusedError, match="check the network"):
            read(store, "a", 0, 10)

    def test_a_part_that_fails_is_sent_again_by_itself(
        self, store: S3ArtifactStore, s3: S3Client
    ) -> None:
        parts = Answer(s3, "UploadPart", [refusal(503, "SlowDown")])
        store.upload("a", Content(BIG))
        assert parts.calls == 3 + 1
        assert read(store, "a", 0, len(BIG)) == BIG

    def test_a_failed_upload_leaves_no_parts_behind(
        self, store: S3ArtifactStore, s3: S3Client, bucket: str
    ) -> None:
        Answer(s3, "UploadPart", [refusal(403, "AccessDenied")])
        with pytest.raises(AwsRefusedError, match="s3:PutObject"):
            store.upload("a", Content(BIG))
        assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
        assert store.children("") == []

    @pytest.mark.parametrize("kind", [Content, lambda data: CompressedContent(Content(data))])
    def test_s3_is_asked_to_check_every_part_and_the_whole(
        self, store: S3ArtifactStore, s3: S3Client, bucket: str, kind: Callable[[bytes], Parts]
    ) -> None:
        content = kind(BIG)
        store.upload("a", content)
        found = s3.head_object(Bucket=bucket, Key="p/a", ChecksumMode="ENABLED")
        checksum = found["ChecksumSHA256"].partition("-")[0]
        assert base64.b64decode(checksum).hex() == content.sha256

    def test_uploads_that_nobody_finished_are_cleared(
        self, store: S3ArtifactStore, s3: S3Client, bucket: str
    ) -> None:
        for key in ("p/a", "p/b", "elsewhere/c"):
            s3.create_multipart_upload(Bucket=bucket, Key=key)
        assert store.clear_unfinished(0.0) == 0
        assert store.clear_unfinished(time.time()) == 2
        (left,) = s3.list_multipart_uploads(Bucket=bucket)["Uploads"]
        assert left["Key"] == "elsewhere/c"

    def test_objects_that_may_not_be_deleted_are_an_error_that_names_one(
        self, store: S3ArtifactStore, s3: S3Client
    ) -> None:
        body = (
            b"<DeleteResult><Error><Key>p/a</Key><Code>AccessDenied</Code>"
            b"<Message>Access Denied</Message></Error></DeleteResult>"
        )
        Answer(s3, "DeleteObjects", [answer(200, body, len(body))])
        with pytest.raises(AwsRefusedError, match="1 of 2 objects") as caught:
            store.delete(["a", "b"])
        assert "p/a: Access Denied" in caught.value.why
