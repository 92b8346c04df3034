"""A bucket, or a prefix of one, as the store of a run."""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import IO, TYPE_CHECKING, TypeVar, cast

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    FlexibleChecksumError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from flowyml_aws.artifacts.content import PART_BYTES, Buffer, Parts
from flowyml_aws.artifacts.errors import UnstorableValueError
from flowyml_aws.artifacts.keys import check_key, check_prefix
from flowyml_aws.artifacts.parallel import for_each_part
from flowyml_aws.artifacts.store import FRESH_S, ObjectEntry
from flowyml_aws.aws.errors import error_code, refused
from flowyml_aws.core.errors import (
    ArtifactNotFoundError,
    AwsRefusedError,
    DamagedArtifactError,
    SettingsError,
)

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

__all__ = ["S3ArtifactStore"]

Answer = TypeVar("Answer")

_MAX_PARTS = 10_000  # Amazon S3 User Guide, "Multipart upload limits"
_MAX_DELETED = 1000  # Amazon S3 API Reference, DeleteObjects
_ATTEMPTS = 5
_STEP_BYTES = 1 << 20
_INTERRUPTED = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)
_ABSENT = {"404", "NoSuchKey", "NotFound"}


class S3ArtifactStore:
    """Objects below a prefix of a bucket.

    Args:
        client: Makes the calls; must allow `parallel.CONNECTIONS`.
        bucket: Its name.
        prefix: Without slashes at its ends; `""` for the whole bucket.
        sleep: Waits between attempts that S3 asks for.
    """

    def __init__(
        self,
        client: S3Client,
        bucket: str,
        prefix: str = "",
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._sleep = sleep

    @classmethod
    def from_uri(cls, client: S3Client, uri: str) -> S3ArtifactStore:
        """The store that has this URI.

        Raises:
            SettingsError: It is no `s3://<bucket>` or `s3://<bucket>/<prefix>`.
        """
        scheme, _, rest = uri.partition("://")
        bucket, _, prefix = rest.partition("/")
        if scheme != "s3" or not bucket:
            raise SettingsError(
                what=f"{uri!r} is no S3 store",
                why="a URI of one is s3://<bucket> or s3://<bucket>/<prefix>",
                fix="correct the store's URI",
            )
        return cls(client, bucket, prefix.strip("/"))

    @property
    def uri(self) -> str:
        """`s3://<bucket>/<prefix>`."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def get(self, key: str) -> bytes:
        """A document, whole."""
        path = self._path(key)
        with self._told("read", key):
            return self._resumed(
                lambda: self._client.get_object(Bucket=self._bucket, Key=path)["Body"].read()
            )

    def put(self, key: str, data: bytes) -> None:
        """Write a document, over what lies there."""
        path = self._path(key)
        with self._told("write", key):
            self._client.put_object(Bucket=self._bucket, Key=path, Body=data)

    def create(self, key: str, data: bytes) -> bool:
        """Write a document only where nothing lies; False if something does."""
        path = self._path(key)
        writer = uuid.uuid4().hex
        with self._told("write", key):
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    self._client.put_object(
                        Bucket=self._bucket,
                        Key=path,
                        Body=data,
                        IfNoneMatch="*",
                        Metadata={"writer": writer},
                    )
                except ClientError as error:
                    if error_code(error) in {"PreconditionFailed", "412"}:
                        # An answer that got lost makes boto3 repeat a write that succeeded.
                        repeated = error.response["ResponseMetadata"].get("RetryAttempts", 0)
                        return repeated > 0 and self._is_written_by(path, writer)
                    # Another write or delete of this key was under way: S3 asks to repeat.
                    conflict = error_code(error) in {"ConditionalRequestConflict", "409"}
                    if not conflict or attempt == _ATTEMPTS:
                        raise
                    self._sleep(0.05 * 2**attempt)
                else:
                    break
        return True

    def children(self, prefix: str) -> list[str]:
        """Names directly below a prefix (`""` or ending in `/`), sorted."""
        check_prefix(prefix)
        path = self._prefix + prefix
        names: set[str] = set()
        with self._told("list", prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=path, Delimiter="/"
            )
            for page in pages:
                names.update(entry["Prefix"] for entry in page.get("CommonPrefixes", ()))
                names.update(entry["Key"] for entry in page.get("Contents", ()))
        names.discard(path)  # the console makes empty objects that look like folders
        return sorted(name[len(path) :].rstrip("/") for name in names)

    def upload(self, key: str, content: Parts) -> None:
        """Stream a content, unless the very same already lies there.

        S3 itself checks each part against its digest, and keeps the content's digest.
        """
        path = self._path(key)
        if len(content.part_sizes) > _MAX_PARTS:
            raise UnstorableValueError(
                what=f"{self.uri}/{key} can't be written",
                why=f"it has {content.size_bytes} bytes, at most {_MAX_PARTS * PART_BYTES} go",
                fix="split the value into several assets",
            )
        with self._told("write", key):
            if self._lies_there(path, content):
                return
            if len(content.part_sizes) > 1:
                self._upload_parts(path, content)
                return
            self._client.put_object(
                Bucket=self._bucket,
                Key=path,
                Body=_body(content, 0),
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=_base64(content.part_digests[0]),
            )

    def read_into(self, key: str, offset: int, buffer: memoryview) -> int:
        """Fill a buffer with the object's bytes from an offset; how many the object has.

        Raises:
            DamagedArtifactError: The object ends before the buffer is full.
        """
        path = self._path(key)
        with self._told("read", key):
            if buffer:
                return self._resumed(lambda: self._read_range(path, key, offset, buffer))
            return self._client.head_object(Bucket=self._bucket, Key=path)["ContentLength"]

    def walk(self, prefix: str) -> Iterator[ObjectEntry]:
        """Every object below a prefix (`""` or ending in `/`), in the order of their keys."""
        check_prefix(prefix)
        with self._told("list", prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix
            )
            for page in pages:
                for found in page.get("Contents", ()):
                    key = found["Key"][len(self._prefix) :]
                    if key and not key.endswith("/"):  # what the console makes as a folder
                        yield ObjectEntry(key, found["Size"], found["LastModified"].timestamp())

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; one that is not there is no error.

        Raises:
            AwsRefusedError: Some could not be removed; the others are gone.
        """
        refusals: list[str] = []
        for start in range(0, len(keys), _MAX_DELETED):
            some = keys[start : start + _MAX_DELETED]
            with self._told("remove", some[0]):
                answer = self._client.delete_objects(
                    Bucket=self._bucket,
                    Delete={"Objects": [{"Key": self._path(key)} for key in some], "Quiet": True},
                )
            refusals += [f"{e.get('Key')}: {e.get('Message')}" for e in answer.get("Errors", ())]
        if refusals:
            raise AwsRefusedError(
                what=f"{len(refusals)} of {len(keys)} objects were not removed from {self.uri}",
                why=refusals[0],
                fix="ask for s3:DeleteObject on them, then do it again",
            )

    def clear_unfinished(self, before: float) -> int:
        """Abort uploads that were begun before that time; how many they were."""
        count = 0
        with self._told("list unfinished uploads in", ""):
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self._bucket, Prefix=self._prefix
            )
            for page in pages:
                for found in page.get("Uploads", ()):
                    if found["Initiated"].timestamp() < before:
                        self._client.abort_multipart_upload(
                            Bucket=self._bucket, Key=found["Key"], UploadId=found["UploadId"]
                        )
                        count += 1
        return count

    def _path(self, key: str) -> str:
        check_key(key)
        return self._prefix + key

    def _is_written_by(self, path: str, writer: str) -> bool:
        found = self._client.head_object(Bucket=self._bucket, Key=path)
        return found["Metadata"].get("writer") == writer

    def _lies_there(self, path: str, content: Parts) -> bool:
        try:
            found = self._client.head_object(Bucket=self._bucket, Key=path, ChecksumMode="ENABLED")
        except ClientError as error:
            if error_code(error) in _ABSENT:
                return False
            raise
        # Of several parts, S3 adds their number behind a dash; moto does not.
        checksum = found.get("ChecksumSHA256", "").partition("-")[0]
        same = checksum == _base64(bytes.fromhex(content.sha256))
        # S3 dates an object anew only where it is sent again.
        is_fresh = time.time() - found["LastModified"].timestamp() < FRESH_S
        return same and found["ContentLength"] == content.size_bytes and is_fresh

    def _complete(
        self,
        path: str,
        upload: str,
        parts: Sequence[CompletedPartTypeDef],
        content: Parts,
    ) -> None:
        try:
            self._client.complete_multipart_upload(
                Bucket=self._bucket, Key=path, UploadId=upload, MultipartUpload={"Parts": parts}
            )
        except ClientError as error:
            # boto3 repeats a call whose answer got lost; the second one finds no upload.
            if error_code(error) != "NoSuchUpload" or not self._lies_there(path, content):
                raise

    def _upload_parts(self, path: str, content: Parts) -> None:
        upload = self._client.create_multipart_upload(
            Bucket=self._bucket, Key=path, ChecksumAlgorithm="SHA256", ChecksumType="COMPOSITE"
        )["UploadId"]

        def send(index: int) -> CompletedPartTypeDef:
            checksum = _base64(content.part_digests[index])
            sent = self._client.upload_part(
                Bucket=self._bucket,
                Key=path,
                UploadId=upload,
                PartNumber=index + 1,
                Body=_body(content, index),
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=checksum,
            )
            return {"PartNumber": index + 1, "ETag": sent["ETag"], "ChecksumSHA256": checksum}

        try:
            parts = for_each_part(len(content.part_sizes), send)
            self._complete(path, upload, parts, content)
        except BaseException:
            # Parts that nobody completes cost money. If this fails too, the first error counts.
            with suppress(BotoCoreError, ClientError):
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=path, UploadId=upload)
            raise

    def _read_range(self, path: str, key: str, offset: int, buffer: memoryview) -> int:
        end = offset + len(buffer)
        try:
            answer = self._client.get_object(
                Bucket=self._bucket, Key=path, Range=f"bytes={offset}-{end - 1}"
            )
        except ClientError as error:
            if error_code(error) in {"InvalidRange", "416"}:
                raise self._too_short(key, f"it ends before byte {offset}", end) from error
            raise
        with closing(answer["Body"]) as body:
            length = answer["ContentLength"]
            if length < len(buffer):
                raise self._too_short(key, f"it has {offset + length} bytes", end)
            filled = 0
            while filled < len(buffer):
                # Small steps: each is one copy, and the whole must not be there twice.
                chunk = body.read(min(_STEP_BYTES, len(buffer) - filled))
                if not chunk:
                    raise IncompleteReadError(actual_bytes=filled, expected_bytes=length)
                buffer[filled : filled + len(chunk)] = chunk
                filled += len(chunk)
        # `bytes <first>-<last>/<all>`
        return int(answer["ContentRange"].rpartition("/")[2])

    def _too_short(self, key: str, found: str, expected: int) -> DamagedArtifactError:
        return DamagedArtifactError(
            what=f"{self.uri}/{key} is too short",
            why=f"{found}, expected at least {expected}",
            fix="remove it, then run what produces it again",
        )

    def _resumed(self, read: Callable[[], Answer]) -> Answer:
        """What `read` returns; boto3 repeats calls, but not the reading of an answer's body."""
        for _ in range(_ATTEMPTS - 1):
            with suppress(*_INTERRUPTED):
                return read()
        return read()

    @contextmanager
    def _told(self, verb: str, key: str) -> Iterator[None]:
        """Tell boto3's errors as ours."""
        uri = f"{self.uri}/{key}"
        try:
            yield
        except FlexibleChecksumError as error:
            raise DamagedArtifactError(
                what=f"{uri} is damaged",
                why=str(error),
                fix="remove it, then run what produces it again",
            ) from error
        except ClientError as error:
            if error_code(error) not in _ABSENT:
                raise refused(error, f"{verb} {uri}") from error
            raise ArtifactNotFoundError(
                what=f"Nothing lies at {uri}",
                why="what writes it has not run, has failed, or uses another store",
                fix="look at the run's status, and at the store's bucket and prefix",
            ) from error
        except BotoCoreError as error:
            raise refused(error, f"{verb} {uri}") from error


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def _body(content: Parts, index: int) -> IO[bytes]:
    return cast("IO[bytes]", _PartBody(content, index))  # of which boto3 needs no more


class _PartBody:
    """A part of a content as a file for boto3, which takes no buffers; nothing is copied.

    `read` gives a whole chunk, whatever it is asked for: urllib3 would ask for 16 KiB at a time.
    """

    def __init__(self, content: Parts, index: int) -> None:
        self._content, self._index = content, index
        self._size, self._at = content.part_sizes[index], 0
        self.seek(0)

    def read(self, size: int = -1) -> Buffer:
        """The next chunk, empty at the end."""
        chunk = next(self._chunks, b"")
        self._at += len(chunk)
        return chunk

    def seek(self, offset: int, whence: int = 0) -> int:
        """To the start, for sending it again, or to the end, for knowing its size."""
        self._at = offset + (0, self._at, self._size)[whence]
        if self._at == 0:
            self._chunks = iter(self._content.part(self._index))
        return self._at

    def tell(self) -> int:
        """How much has been read."""
        return self._at
