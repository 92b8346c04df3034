"""Artifact store in Amazon S3: a bucket, or a prefix of one."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    FlexibleChecksumError,
)

from flowyml_aws.artifacts.content import MAX_PARTS, PART_BYTES, Parts
from flowyml_aws.artifacts.errors import UnstorableValueError
from flowyml_aws.artifacts.keys import check_key, check_prefix
from flowyml_aws.artifacts.layout import is_write_once, use_key
from flowyml_aws.artifacts.store import FRESH_S, ObjectEntry
from flowyml_aws.aws.errors import error_code, refused
from flowyml_aws.aws.s3.patience import CLIENT, Repetition
from flowyml_aws.aws.s3.ranges import TooShortError, read_range
from flowyml_aws.aws.s3.uploads import EXISTS, OvertakenError, S3Uploads, as_base64
from flowyml_aws.core import clock
from flowyml_aws.core.errors import (
    ArtifactNotFoundError,
    AwsRefusedError,
    DamagedArtifactError,
    SettingsError,
)

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import (
        HeadObjectOutputTypeDef,
        ListObjectsV2OutputTypeDef,
        ObjectIdentifierTypeDef,
    )

__all__ = ["S3ArtifactStore"]

Result = TypeVar("Result")

_MAX_DELETED = 1000  # Amazon S3 API Reference, DeleteObjects
_ATTEMPTS = 5
_ABSENT = {"404", "NoSuchKey", "NotFound"}
_DENIED = {"403", "AccessDenied"}


class S3ArtifactStore:
    """Objects below a prefix of a bucket.

    Objects that are written once are created with `If-None-Match: *`, which the policies of
    `infra/` require (Amazon S3 User Guide, "Enforce conditional writes on Amazon S3 buckets").

    Args:
        client: S3 client with at least `parallel.CONNECTIONS` connections.
        bucket: Bucket name.
        prefix: Key prefix without slashes at its ends; `""` for the whole bucket.
        repeat: Repetition of calls during an outage; that of a client by default.
    """

    def __init__(
        self,
        client: S3Client,
        bucket: str,
        prefix: str = "",
        repeat: Repetition | None = None,
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._repeat = repeat or Repetition(CLIENT)
        self._uploads = S3Uploads(client, bucket, self._repeat)

    @classmethod
    def from_uri(
        cls, client: S3Client, uri: str, repeat: Repetition | None = None
    ) -> S3ArtifactStore:
        """Return the store at a URI.

        Raises:
            SettingsError: The URI is not `s3://<bucket>` or `s3://<bucket>/<prefix>`.
        """
        scheme, _, rest = uri.partition("://")
        bucket, _, prefix = rest.partition("/")
        if scheme != "s3" or not bucket:
            raise SettingsError(
                what=f"Invalid S3 store URI {uri!r}",
                why="it must be s3://<bucket> or s3://<bucket>/<prefix>",
                fix="correct the store's URI",
            )
        return cls(client, bucket, prefix.strip("/"), repeat)

    @property
    def uri(self) -> str:
        """URI of the store: `s3://<bucket>/<prefix>`."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def get(self, key: str) -> bytes:
        """Return the bytes of a document."""
        path = self._path(key)

        def read() -> bytes:
            with closing(self._client.get_object(Bucket=self._bucket, Key=path)["Body"]) as body:
                return body.read()

        return self._call(read, "read", key)

    def put(self, key: str, data: bytes) -> None:
        """Write a document, replacing an existing one unless it is written once."""
        path = self._path(key)
        if is_write_once(key):
            if not self.create(key, data) and self.get(key) != data:
                raise self._other_content(key)
            return
        self._call(
            lambda: self._client.put_object(Bucket=self._bucket, Key=path, Body=data), "write", key
        )

    def create(self, key: str, data: bytes) -> bool:
        """Create the document if it does not exist. Return False otherwise."""
        path = self._path(key)
        writer = uuid.uuid4().hex
        calls = 0

        def write() -> bool:
            nonlocal calls
            calls += 1
            try:
                self._client.put_object(
                    Bucket=self._bucket,
                    Key=path,
                    Body=data,
                    IfNoneMatch="*",
                    Metadata={"writer": writer},
                )
            except ClientError as error:
                if error_code(error) not in EXISTS:
                    raise
                # The answer to an earlier call, which wrote the object, may have been lost.
                calls += error.response["ResponseMetadata"].get("RetryAttempts", 0)
                return calls > 1 and self._is_written_by(path, writer)
            return True

        return self._call(write, "write", key)

    def age_s(self, key: str) -> float:
        """Return the seconds since a document was written, by the clock of S3."""
        path = self._path(key)
        head_object = partial(self._client.head_object, Bucket=self._bucket, Key=path)
        head = self._call(head_object, "read", key)
        now = parsedate_to_datetime(head["ResponseMetadata"]["HTTPHeaders"]["date"])
        # Both times are whole seconds.
        return clock.passed_s(max(0.0, (now - head["LastModified"]).total_seconds() - 1))

    def children(self, prefix: str) -> list[str]:
        """Return the names directly below a prefix (`""` or ending in `/`), sorted."""
        check_prefix(prefix)
        path = self._prefix + prefix
        names: set[str] = set()
        for page in self._pages(prefix, Delimiter="/"):
            names.update(entry["Prefix"] for entry in page.get("CommonPrefixes", ()))
            names.update(entry["Key"] for entry in page.get("Contents", ()))
        names.discard(path)  # the S3 console creates empty objects as folders
        return sorted(name[len(path) :].rstrip("/") for name in names)

    def upload(self, key: str, content: Parts) -> None:
        """Upload a content in parts, unless the same content is stored already.

        S3 verifies the digest of each part, and stores the digest of the content.

        Raises:
            DamagedArtifactError: Another content is stored there, and can't be deleted.
        """
        path = self._path(key)
        if len(content.part_sizes) > MAX_PARTS:
            raise UnstorableValueError(
                what=f"Value too large for {self.uri}/{key}",
                why=f"it has {content.size_bytes} bytes, the limit is {MAX_PARTS * PART_BYTES}",
                fix="split the value into several assets",
            )
        doing = f"write {self.uri}/{key}"
        with self._translated("write", key):
            for attempt in range(1, _ATTEMPTS + 1):
                if self._repeat(lambda: self._is_stored(key, content), doing):
                    return
                try:
                    self._uploads.send(path, content, doing)
                except OvertakenError as error:
                    if attempt == _ATTEMPTS:
                        raise error.cause from None
                else:
                    return

    def holds(self, key: str, sha256: str, size_bytes: int) -> bool:
        """Return whether an object exists, and has this size and digest."""
        path = self._path(key)
        head = self._call(lambda: self._head(path), "read", key)
        return head is not None and _has_content(head, sha256, size_bytes)

    def read_into(self, key: str, offset: int, buffer: memoryview) -> int:
        """Fill a buffer with an object's bytes from an offset. Return the object's size.

        Raises:
            DamagedArtifactError: The object ends before the buffer is full.
        """
        path = self._path(key)

        def size() -> int:
            return self._client.head_object(Bucket=self._bucket, Key=path)["ContentLength"]

        read = (lambda: self._read_range(path, key, offset, buffer)) if buffer else size
        return self._call(read, "read", key)

    def walk(self, prefix: str) -> Iterator[ObjectEntry]:
        """Yield every object below a prefix (`""` or ending in `/`), in key order."""
        check_prefix(prefix)
        for page in self._pages(prefix):
            for entry in page.get("Contents", ()):
                key = entry["Key"][len(self._prefix) :]
                if key and not key.endswith("/"):  # a folder created in the S3 console
                    yield ObjectEntry(key, entry["Size"], entry["LastModified"].timestamp())

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects. Missing objects are ignored.

        Raises:
            AwsRefusedError: Some objects could not be deleted; the others are gone.
        """
        refusals: list[str] = []
        for start in range(0, len(keys), _MAX_DELETED):
            batch = keys[start : start + _MAX_DELETED]
            objects: Sequence[ObjectIdentifierTypeDef] = [{"Key": self._path(k)} for k in batch]
            delete = partial(
                self._client.delete_objects,
                Bucket=self._bucket,
                Delete={"Objects": objects, "Quiet": True},
            )
            response = self._call(delete, "delete", batch[0])
            refusals += [f"{e.get('Key')}: {e.get('Message')}" for e in response.get("Errors", ())]
        if refusals:
            raise AwsRefusedError(
                what=f"{len(refusals)} of {len(keys)} objects were not deleted from {self.uri}",
                why=refusals[0],
                fix="allow s3:DeleteObject on them, then repeat the command",
            )

    def clear_unfinished(self, before: float) -> int:
        """Abort multipart uploads that started before a time. Return how many there were."""

        def clear() -> int:
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self._bucket, Prefix=self._prefix
            )
            old = [
                upload
                for page in pages
                for upload in page.get("Uploads", ())
                if upload["Initiated"].timestamp() < before
            ]
            for upload in old:
                self._client.abort_multipart_upload(
                    Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                )
            return len(old)

        return self._call(clear, "list unfinished uploads in", "")

    def _path(self, key: str) -> str:
        check_key(key)
        return self._prefix + key

    def _is_written_by(self, path: str, writer: str) -> bool:
        head = self._client.head_object(Bucket=self._bucket, Key=path)
        return head["Metadata"].get("writer") == writer

    def _head(self, path: str) -> HeadObjectOutputTypeDef | None:
        try:
            return self._client.head_object(Bucket=self._bucket, Key=path, ChecksumMode="ENABLED")
        except ClientError as error:
            if error_code(error) in _ABSENT:
                return None
            raise

    def _is_stored(self, key: str, content: Parts) -> bool:
        """Return whether a content is stored. Record its use, and delete another content."""
        path = self._path(key)
        head = self._head(path)
        if head is None:
            return False
        if not _has_content(head, content.sha256, content.size_bytes):
            self._delete_damaged(key)
            return False
        if time.time() - head["LastModified"].timestamp() >= FRESH_S:
            # S3 updates the date of an object only if the object is written again.
            self._client.put_object(Bucket=self._bucket, Key=self._path(use_key(key)), Body=b"")
        return True

    def _delete_damaged(self, key: str) -> None:
        try:
            self._client.delete_object(Bucket=self._bucket, Key=self._path(key))
        except ClientError as error:
            if error_code(error) not in _DENIED:
                raise
            raise self._other_content(key) from error

    def _other_content(self, key: str) -> DamagedArtifactError:
        return DamagedArtifactError(
            what=f"{self.uri}/{key} can't be written",
            why="an object with other content exists, and objects of this kind are written once",
            fix="delete it if it is damaged, then run the pipeline again",
        )

    def _read_range(self, path: str, key: str, offset: int, buffer: memoryview) -> int:
        try:
            return read_range(self._client, self._bucket, path, offset, buffer)
        except TooShortError as error:
            raise self._too_short(key, str(error), offset + len(buffer)) from error

    def _too_short(self, key: str, actual: str, expected: int) -> DamagedArtifactError:
        return DamagedArtifactError(
            what=f"{self.uri}/{key} is too short",
            why=f"{actual}, expected at least {expected}",
            fix="delete it, then run the step that produces it again",
        )

    def _pages(self, prefix: str, **options: Any) -> Iterator[ListObjectsV2OutputTypeDef]:
        """Yield the pages of a listing, each repeated on its own: a paginator can't do that."""
        list_page = partial(
            self._client.list_objects_v2,
            Bucket=self._bucket,
            Prefix=self._prefix + prefix,
            **options,
        )
        page = self._call(list_page, "list", prefix)
        yield page
        while (token := page.get("NextContinuationToken")) is not None:
            page = self._call(partial(list_page, ContinuationToken=token), "list", prefix)
            yield page

    def _call(self, call: Callable[[], Result], verb: str, key: str) -> Result:
        """Return the answer of a call, repeated during outages. Translate boto3's errors."""
        with self._translated(verb, key):
            return self._repeat(call, f"{verb} {self.uri}/{key}")

    @contextmanager
    def _translated(self, verb: str, key: str) -> Iterator[None]:
        """Translate boto3's errors."""
        uri = f"{self.uri}/{key}"
        try:
            yield
        except FlexibleChecksumError as error:
            raise DamagedArtifactError(
                what=f"{uri} is damaged",
                why=str(error),
                fix="delete it, then run the step that produces it again",
            ) from error
        except ClientError as error:
            if error_code(error) not in _ABSENT:
                raise refused(error, f"{verb} {uri}") from error
            raise ArtifactNotFoundError(
                what=f"No object at {uri}",
                why="the step that produces it has not run, has failed, or uses another store",
                fix="check the run's status, and the bucket and prefix of the store",
            ) from error
        except BotoCoreError as error:
            raise refused(error, f"{verb} {uri}") from error


def _has_content(head: HeadObjectOutputTypeDef, sha256: str, size_bytes: int) -> bool:
    # S3 appends `-<number of parts>` if there are several; moto does not.
    checksum = head.get("ChecksumSHA256", "").partition("-")[0]
    return checksum == as_base64(bytes.fromhex(sha256)) and head["ContentLength"] == size_bytes
