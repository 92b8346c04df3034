"""Uploads of contents to S3, whole or in parts, that replace no object."""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import IO, TYPE_CHECKING, cast

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.artifacts.content import Buffer, Parts
from flowyml_aws.artifacts.parallel import for_each_part
from flowyml_aws.aws.errors import error_code
from flowyml_aws.aws.s3.patience import Repetition
from flowyml_aws.aws.s3.signing import sign_with_known_digests

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

__all__ = ["EXISTS", "OvertakenError", "S3Uploads", "as_base64"]

EXISTS = {"412", "PreconditionFailed"}
"""Error codes of a conditional write if the object exists."""
# Another writer was faster, or an answer was lost, and a call that succeeded was repeated.
_OVERTAKEN = {*EXISTS, "409", "ConditionalRequestConflict", "NoSuchUpload"}


class OvertakenError(Exception):
    """An upload must begin again, unless the content is stored meanwhile."""

    def __init__(self, cause: ClientError) -> None:
        super().__init__(cause)
        self.cause = cause


class S3Uploads:
    """Uploads to a bucket. Calls are repeated during outages.

    S3 verifies the digest of each part, and stores the digest of the content.
    """

    def __init__(self, client: S3Client, bucket: str, repeat: Repetition) -> None:
        self._client, self._bucket, self._repeat = client, bucket, repeat
        sign_with_known_digests(client)

    def send(self, path: str, content: Parts, doing: str) -> None:
        """Upload a content to a key that has no object.

        Args:
            path: Key in the bucket.
            content: Content to upload.
            doing: Description for the log, such as `write s3://bucket/key`.

        Raises:
            OvertakenError: The key has an object now, or the parts must be sent again.
            ClientError: S3 refused a call.
            BotoCoreError: S3 did not answer for too long.
        """
        if len(content.part_sizes) > 1:
            self._send_parts(path, content, doing)
        else:
            self._send_whole(path, content, doing)

    def _send_whole(self, path: str, content: Parts, doing: str) -> None:
        def put() -> None:
            with _overtaking(EXISTS):
                self._client.put_object(
                    Bucket=self._bucket,
                    Key=path,
                    Body=_body(content, 0),
                    IfNoneMatch="*",
                    ChecksumAlgorithm="SHA256",
                    ChecksumSHA256=as_base64(content.part_digests[0]),
                )

        self._repeat(put, doing)

    def _send_parts(self, path: str, content: Parts, doing: str) -> None:
        begin = partial(
            self._client.create_multipart_upload,
            Bucket=self._bucket,
            Key=path,
            ChecksumAlgorithm="SHA256",
            ChecksumType="COMPOSITE",
        )
        upload = self._repeat(begin, doing)["UploadId"]

        def send(index: int) -> CompletedPartTypeDef:
            checksum = as_base64(content.part_digests[index])
            sent = self._repeat(
                lambda: self._client.upload_part(
                    Bucket=self._bucket,
                    Key=path,
                    UploadId=upload,
                    PartNumber=index + 1,
                    Body=_body(content, index),
                    ChecksumAlgorithm="SHA256",
                    ChecksumSHA256=checksum,
                ),
                doing,
            )
            return {"PartNumber": index + 1, "ETag": sent["ETag"], "ChecksumSHA256": checksum}

        def complete(parts: Sequence[CompletedPartTypeDef]) -> None:
            with _overtaking(_OVERTAKEN):
                self._client.complete_multipart_upload(
                    Bucket=self._bucket,
                    Key=path,
                    UploadId=upload,
                    MultipartUpload={"Parts": parts},
                    IfNoneMatch="*",
                )

        try:
            parts = for_each_part(len(content.part_sizes), send)
            self._repeat(lambda: complete(parts), doing)
        except BaseException:
            # Parts that are never completed cost money. If this fails too, raise the first error.
            with suppress(BotoCoreError, ClientError):
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=path, UploadId=upload)
            raise


@contextmanager
def _overtaking(codes: Collection[str]) -> Iterator[None]:
    """Translate the errors with these codes to `OvertakenError`."""
    try:
        yield
    except ClientError as error:
        if error_code(error) in codes:
            raise OvertakenError(error) from error
        raise


def as_base64(digest: bytes) -> str:
    """Return a digest as S3 expects it in headers."""
    return base64.b64encode(digest).decode()


def _body(content: Parts, index: int) -> IO[bytes]:
    return cast("IO[bytes]", _PartBody(content, index))  # boto3 needs no other methods


class _PartBody:
    """A part of a content as a file, because boto3 does not accept buffers. Nothing is copied.

    `read` ignores the requested size and returns a whole chunk: urllib3 requests only 16 KiB.
    """

    def __init__(self, content: Parts, index: int) -> None:
        self._content, self._index = content, index
        self._size, self._position = content.part_sizes[index], 0
        self.seek(0)

    def read(self, size: int = -1) -> Buffer:
        """Return the next chunk, empty at the end."""
        chunk = next(self._chunks, b"")
        self._position += len(chunk)
        return chunk

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to the start (to send the part again) or to the end (to find its size)."""
        self._position = offset + (0, self._position, self._size)[whence]
        if self._position == 0:
            self._chunks = iter(self._content.part(self._index))
        return self._position

    def tell(self) -> int:
        """Return the number of bytes read."""
        return self._position
