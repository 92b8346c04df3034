"""The S3 client of a job, with the credentials of the job's role.

The runner makes it before it imports anything else, so this module imports no documents.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from functools import cache
from typing import TYPE_CHECKING

from botocore.config import Config

from flowyml_aws.artifacts.parallel import CONNECTIONS
from flowyml_aws.aws.connection.sessions import new_session

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

__all__ = ["job_client", "plain_reader"]

_CONNECT_TIMEOUT_S = 10.0  # botocore's default, 60 s, is long for a service in the same region


def job_client() -> S3Client:
    """Return the S3 client of this process: its stores and prefixes share the connections.

    botocore instead of boto3: that starts 10 to 20 ms faster.
    """
    return _client_of(os.getpid())  # a forked process must not use the connections of another


@cache
def _client_of(process: int) -> S3Client:
    config = Config(
        max_pool_connections=CONNECTIONS,
        connect_timeout=_CONNECT_TIMEOUT_S,
        # The runner verifies every object by the digest that the run records.
        response_checksum_validation="when_required",
    )
    client: S3Client = new_session().create_client("s3", config=config)
    return client


def plain_reader(uri: str) -> Callable[[str, int | None, int], bytes]:
    """Return a function that reads an object of a store, or a part of one.

    It neither repeats calls during outages nor translates errors, as the store does.

    Args:
        uri: URI of the store.
    """
    client = job_client()
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")

    def read(key: str, offset: int | None, size_bytes: int) -> bytes:
        path = f"{prefix.strip('/')}/{key}".lstrip("/")
        if offset is None:
            answer = client.get_object(Bucket=bucket, Key=path)
        else:
            part = f"bytes={offset}-{offset + size_bytes - 1}"
            answer = client.get_object(Bucket=bucket, Key=path, Range=part)
        with closing(answer["Body"]) as body:
            return body.read()

    return read
