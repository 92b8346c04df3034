"""Reads of ranges of objects in S3 into memory."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import (
    ClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from botocore.response import StreamingBody

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
        _fill(buffer, body, length, client.meta.endpoint_url)
    # `bytes <first>-<last>/<size>`
    return int(response["ContentRange"].rpartition("/")[2])


def _fill(buffer: memoryview, body: StreamingBody, length: int, endpoint_url: str) -> None:
    """Fill a buffer with the first bytes of a body of a length.

    Raises:
        BotoCoreError: The connection failed.
    """
    response = _response_below(body)
    if response is None:
        read = partial(_read_copy, body)
    else:
        read = partial(_read_directly, response, endpoint_url)
    filled = 0
    while filled < len(buffer):
        # In small steps: they may be copied, and memory must not hold the whole twice.
        count = read(buffer[filled : filled + _STEP_BYTES])
        if not count:
            raise IncompleteReadError(actual_bytes=filled, expected_bytes=length)
        filled += count
    if response is not None and response.isclosed():  # all was read
        cast("Any", body)._raw_stream.release_conn()  # for the next request


def _response_below(body: StreamingBody) -> HTTPResponse | None:
    """Return the response below urllib3, which copies all bytes, or None if it can't be reached.

    Bodies of other types, which botocore verifies while they are read, are never bypassed.
    """
    if type(body) is not StreamingBody:
        return None
    response = getattr(getattr(body, "_raw_stream", None), "_fp", None)
    return response if isinstance(response, HTTPResponse) else None


def _read_copy(body: StreamingBody, buffer: memoryview) -> int:
    chunk = body.read(len(buffer))
    buffer[: len(chunk)] = chunk
    return len(chunk)


def _read_directly(response: HTTPResponse, endpoint_url: str, buffer: memoryview) -> int:
    """Read into a buffer, with the errors that urllib3 and botocore would raise."""
    try:
        return response.readinto(buffer)
    except TimeoutError as error:
        raise ReadTimeoutError(endpoint_url=endpoint_url, error=error) from error
    except (HTTPException, OSError) as error:
        raise ResponseStreamingError(error=error) from error
