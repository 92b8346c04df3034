"""Reads of ranges of objects in S3 into memory."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, IncompleteReadError

from flowyml_aws.aws.errors import error_code

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

__all__ = ["TooShortError", "read_range"]

_STEP_BYTES = 1 << 20


class TooShortError(Exception):
    """An object ends before a range of it."""


def read_range(
    client: S3Client, bucket: str, path: str, offset: int, buffer: memoryview, **conditions: Any
) -> int:
    """Fill a buffer with an object's bytes from an offset. Return the object's size.

    Args:
        client: S3 client.
        bucket: Name of the bucket.
        path: Key in the bucket.
        offset: Start of the range.
        buffer: Memory of the size of the range, at least a byte.
        **conditions: Conditions of the request, such as `IfMatch`.

    Raises:
        TooShortError: The object ends before the buffer is full.
        ClientError: S3 refused the call.
        BotoCoreError: The connection failed.
    """
    end = offset + len(buffer)
    try:
        response = client.get_object(
            Bucket=bucket, Key=path, Range=f"bytes={offset}-{end - 1}", **conditions
        )
    except ClientError as error:
        if error_code(error) in {"InvalidRange", "416"}:
            raise TooShortError(f"it ends before byte {offset}") from error
        raise
    with closing(response["Body"]) as body:
        length = response["ContentLength"]
        if length < len(buffer):
            raise TooShortError(f"it has {offset + length} bytes")
        filled = 0
        while filled < len(buffer):
            # In small steps: each is copied once, and memory must not hold the whole twice.
            chunk = body.read(min(_STEP_BYTES, len(buffer) - filled))
            if not chunk:
                raise IncompleteReadError(actual_bytes=filled, expected_bytes=length)
            buffer[filled : filled + len(chunk)] = chunk
            filled += len(chunk)
    # `bytes <first>-<last>/<size>`
    return int(response["ContentRange"].rpartition("/")[2])
